-- Returns the tenants with an own cap or weight in a pool.
-- ?1 pool.
select tenant, cap, weight from shares where pool = ?1 order by tenant
