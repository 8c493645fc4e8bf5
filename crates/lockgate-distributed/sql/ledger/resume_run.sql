-- Makes run number $1 active again. Its next batch is due now at the earliest, so batches that were missed in
-- the meantime do not go out all at once. $2 is the ledger time (ms).
update runs set status = 'active', next_due = greatest(next_due, case when next_due is not null then $2::bigint end)
where number = $1
