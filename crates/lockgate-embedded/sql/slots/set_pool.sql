-- Sets the numbers of a pool.
-- ?1 pool, ?2 slots, ?3 slots per tenant (null: no cap), ?4 slots of the ramp step (null: no ramp), ?5 1 for
-- a new version, else 0.
update pools set slots = ?2, per_tenant = ?3, ramp = ?4, version = version + ?5 where name = ?1
