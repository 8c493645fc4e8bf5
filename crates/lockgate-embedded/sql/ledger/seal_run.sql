-- Seals a run that is in planning, and returns it. Returns no row when it is sealed already. The run starts
-- at start_at, or now.
-- ?1 number of the run, ?2 now (ms since 1970).
update runs set
    status = 'active',
    next_due = case when planned > 0 then coalesce(start_at, ?2) end,
    deadline_at = coalesce(start_at, ?2) + deadline
where number = ?1 and status = 'planning'
returning *
