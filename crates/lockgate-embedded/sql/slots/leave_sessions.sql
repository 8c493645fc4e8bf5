-- Takes the waiters of the sessions in ?1 (JSON array of ids) out of line.
delete from waiters where session in (select value from json_each(?1))
