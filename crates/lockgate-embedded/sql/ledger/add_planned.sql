-- Adds to the number of planned jobs of a run, and returns the run.
-- ?1 number of the run, ?2 jobs to add.
update runs set planned = planned + ?2 where number = ?1 returning *
