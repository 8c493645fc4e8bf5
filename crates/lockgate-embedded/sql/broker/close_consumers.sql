-- Ends the consumers in ?1 (JSON array of numbers), whose messages were given back.
delete from consumers where number in (select value from json_each(?1))
