-- Makes a run that is being planned, unless one of its name is there.
-- $1 id, $2 name, $3 kind, $4 queue, $5 as_of, $6 batch_size, $7 batch_delay (ms), $8 start_at (null: when the plan is
-- whole), $9 deadline (ms after the start, or null). Times are ms since 1970.
-- Keeps: one run for each name.
-- $10 is ledger time, now (ms).
insert into runs (id, name, kind, queue, as_of, status, batch_size, batch_delay, start_at, deadline, created_at)
values ($1, $2, $3, $4, $5, 'planning', $6, $7, $8, $9, $10::bigint)
on conflict (name) do nothing
