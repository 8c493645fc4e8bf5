-- Waits until no other process migrates this database; others wait until this transaction ends. $1 is the lock's number.
select pg_advisory_xact_lock($1)
