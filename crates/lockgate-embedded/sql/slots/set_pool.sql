-- Sets pool ?1 to ?2 slots, ?3 for each tenant (or null) and a ramp step of ?4 slots (or null); ?5 is 1 when that is a new
-- version, else 0.
update pools set slots = ?2, per_tenant = ?3, ramp = ?4, version = version + ?5 where name = ?1
