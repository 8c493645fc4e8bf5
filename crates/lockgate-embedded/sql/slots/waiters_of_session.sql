-- Returns the ids of the waiters of a session.
-- ?1 session.
select id from waiters where session = ?1
