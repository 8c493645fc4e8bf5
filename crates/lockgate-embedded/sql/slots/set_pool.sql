-- Sets pool ?1 to ?2 slots and ?3 for each tenant (or null).
update pools set slots = ?2, per_tenant = ?3, version = version + 1 where name = ?1
