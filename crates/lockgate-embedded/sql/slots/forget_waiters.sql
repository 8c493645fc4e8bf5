-- Forgets all waiters.
delete from waiters
