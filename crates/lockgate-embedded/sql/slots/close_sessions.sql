-- Forgets the sessions in ?1 (JSON array of ids).
delete from sessions where id in (select value from json_each(?1))
