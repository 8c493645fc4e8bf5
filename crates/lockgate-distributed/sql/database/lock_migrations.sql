-- Waits until no other process migrates this database, and locks it until this transaction ends. $1 is the
-- number of the lock.
select pg_advisory_xact_lock($1)
