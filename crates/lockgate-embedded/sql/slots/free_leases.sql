-- Frees the leases in ?1 (JSON array of ids).
delete from leases where id in (select value from json_each(?1))
