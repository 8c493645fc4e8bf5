-- Deletes the own cap and weight of a tenant in a pool.
-- ?1 pool, ?2 tenant.
delete from shares where pool = ?1 and tenant = ?2
