-- Adds ingested jobs to the number of planned jobs of an external run, makes the run active unless it is
-- paused, and returns it.
-- ?1 number of the run, ?2 jobs to add.
update runs set planned = planned + ?2, status = case status when 'paused' then 'paused' else 'active' end
where number = ?1
returning *
