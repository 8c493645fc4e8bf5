-- Deletes waiters by their ids.
-- ?1 JSON array of lease ids.
delete from waiters where id in (select value from json_each(?1))
