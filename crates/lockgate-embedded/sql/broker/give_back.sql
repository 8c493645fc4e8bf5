-- Makes the messages of the consumers in ?1 (JSON array of numbers) ready again.
update messages set consumer = null where consumer in (select value from json_each(?1))
