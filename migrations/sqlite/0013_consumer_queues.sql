-- A consumer says its queue, so that a queue that nobody reads can be told. A consumer that was there before says none until
-- its process starts again.

alter table consumers add column queue text not null default '';
