-- A start that is said twice, because its answer was lost, is known by its token and counted once.

alter table jobs add column started_by integer not null default 0;   -- the token of its latest start

-- The view's columns are those that its table had when it was made.
drop view job_records;
create view job_records as
select j.*, r.id as run_id, r.kind, r.queue
from jobs j join runs r on r.number = j.run;
