-- Adds the queue of a consumer, so that a queue without consumers can be reported. A consumer from before
-- this migration has an empty queue until its process restarts.

alter table consumers add column queue text not null default '';
