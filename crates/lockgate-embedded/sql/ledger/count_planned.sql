-- Adds ?2 to the planned jobs of run number ?1, and returns the run.
update runs set planned = planned + ?2 where number = ?1 returning *
