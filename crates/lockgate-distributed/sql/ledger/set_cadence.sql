-- Sets the cadence of run number $1: $2 batch_size, $3 batch_delay (ms), $4 when its next batch is due (ms
-- since 1970, or null).
update runs set batch_size = $2, batch_delay = $3, next_due = $4 where number = $1
