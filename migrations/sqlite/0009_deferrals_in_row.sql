-- Deferrals of a job in a row. They set the backoff of its next deferral; `deferrals` counts all of them.

alter table jobs add column deferrals_in_row integer not null default 0;

-- The view's columns are those that its table had when it was made.
drop view job_records;
create view job_records as
select j.*, r.id as run_id, r.kind, r.queue
from jobs j join runs r on r.number = j.run;
