-- Makes the leases of sessions drain whose backend work can outlive its process.
-- ?1 JSON array of session ids, ?2 now (virtual ms).
update leases set draining_until = ?2 + drain_for
where session in (select value from json_each(?1)) and draining_until is null and drain_for > 0
