-- Makes the messages of closed or dead consumers ready again.
-- ?1 JSON array of consumer numbers.
update messages set consumer = null where consumer in (select value from json_each(?1))
