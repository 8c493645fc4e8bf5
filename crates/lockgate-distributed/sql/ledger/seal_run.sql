-- Makes the manifest of the run of id $1 whole and returns the run; no row when it is not being planned.
-- Keeps: only a run that is being planned is sealed; it starts at start_at, or now.
-- $2 is ledger time, now (ms).
update runs set
    status = 'active',
    next_due = case when planned > 0 then coalesce(start_at, $2::bigint) end,
    deadline_at = coalesce(start_at, $2::bigint) + deadline
where id = $1 and status = 'planning'
returning *
