-- Makes the manifest of run number ?1 whole at ?2 (now, ms since 1970) and returns the run.
-- Keeps: only a run that is being planned is sealed; it starts at start_at, or now.
update runs set
    status = 'active',
    next_due = case when planned > 0 then coalesce(start_at, ?2) end,
    deadline_at = coalesce(start_at, ?2) + deadline
where number = ?1 and status = 'planning'
returning *
