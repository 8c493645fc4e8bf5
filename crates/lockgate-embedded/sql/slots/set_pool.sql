-- Sets pool ?1 to ?2 slots and ?3 for each tenant (or null); ?4 is 1 when that is a new version, else 0.
update pools set slots = ?2, per_tenant = ?3, version = version + ?4 where name = ?1
