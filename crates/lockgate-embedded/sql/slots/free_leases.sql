-- Deletes leases, which frees their slots.
-- ?1 JSON array of lease ids.
delete from leases where id in (select value from json_each(?1))
