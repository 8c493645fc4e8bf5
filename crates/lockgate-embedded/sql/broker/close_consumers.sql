-- Deletes consumers. Their messages must have been returned before.
-- ?1 JSON array of consumer numbers.
delete from consumers where number in (select value from json_each(?1))
