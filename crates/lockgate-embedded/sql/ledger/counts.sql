-- Counts jobs and deferrals of runs by state.
-- ?1 JSON array of run numbers.
select run, state, count(*) as jobs, sum(deferrals) as deferrals
from jobs where run in (select value from json_each(?1))
group by run, state
