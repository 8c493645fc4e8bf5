-- Seals the run of id $1 and returns it; no row when it is not being planned. $2 is the ledger time (ms).
-- Keeps: only a run that is being planned is sealed; it starts at start_at, or now.
update runs set
    status = 'active',
    next_due = case when planned > 0 then coalesce(start_at, $2::bigint) end,
    deadline_at = coalesce(start_at, $2::bigint) + deadline
where id = $1 and status = 'planning'
returning *
