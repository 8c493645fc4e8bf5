-- Deletes the waiters of sessions.
-- ?1 JSON array of session ids.
delete from waiters where session in (select value from json_each(?1))
