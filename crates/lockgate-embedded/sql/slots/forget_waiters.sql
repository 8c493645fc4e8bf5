-- Deletes all waiters. For tests.
delete from waiters
