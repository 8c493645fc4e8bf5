-- Drains what the sessions in ?1 (JSON array of ids) hold and whose backend work may go on, from ?2 (virtual ms).
update leases set draining_until = ?2 + drain_for
where session in (select value from json_each(?1)) and draining_until is null and drain_for > 0
