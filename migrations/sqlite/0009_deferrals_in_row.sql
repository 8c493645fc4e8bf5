-- Adds the number of consecutive deferrals of a job, which sets the backoff of its next deferral. `deferrals`
-- counts all deferrals.

alter table jobs add column deferrals_in_row integer not null default 0;

-- A view has the columns that its table had when the view was created, so it is created again.
drop view job_records;
create view job_records as
select j.*, r.id as run_id, r.kind, r.queue
from jobs j join runs r on r.number = j.run;
