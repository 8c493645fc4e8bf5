-- Makes run number $1 active again. Batches that were missed meanwhile do not burst out together.
-- $2 is ledger time, now (ms).
update runs set status = 'active', next_due = greatest(next_due, case when next_due is not null then $2::bigint end)
where number = $1
