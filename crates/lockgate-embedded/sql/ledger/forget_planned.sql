-- Takes pruned jobs out of the plan of their run: ?1 is a JSON array of the run's number for each job.
-- Keeps: a run that is being pruned stays balanced.
update runs set planned = planned - x.jobs
from (select value as run, count(*) as jobs from json_each(?1) group by value) x
where runs.number = x.run
