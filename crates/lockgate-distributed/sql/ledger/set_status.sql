-- Sets the status of run number $1 to $2, and when its next batch is due to $3 (ms since 1970, or null: no
-- batch is left).
update runs set status = $2, next_due = $3 where number = $1
