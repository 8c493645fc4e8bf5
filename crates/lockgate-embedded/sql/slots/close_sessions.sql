-- Deletes sessions.
-- ?1 JSON array of session ids.
delete from sessions where id in (select value from json_each(?1))
