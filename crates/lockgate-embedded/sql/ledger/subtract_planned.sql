-- Subtracts pruned jobs from the number of planned jobs of their runs.
-- ?1 JSON array with the run number of each pruned job.
-- Invariant: the counts of a run that is being pruned stay balanced.
update runs set planned = planned - x.jobs
from (select value as run, count(*) as jobs from json_each(?1) group by value) x
where runs.number = x.run
