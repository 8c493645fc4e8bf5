-- Adds $2 to the planned jobs of the external run of number $1, activates the run unless it is paused, and
-- returns it.
update runs set planned = planned + $2, status = case status when 'paused' then 'paused' else 'active' end
where number = $1
returning *
