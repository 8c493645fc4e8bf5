-- Takes the waiters in ?1 (JSON array of ids) out of line.
delete from waiters where id in (select value from json_each(?1))
