-- Sets the status of run number $1 to $2; its next batch is due at $3 (ms since 1970), or none is (null).
update runs set status = $2, next_due = $3 where number = $1
