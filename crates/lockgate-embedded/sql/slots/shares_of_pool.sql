-- The tenants with a cap or a weight of their own in pool ?1.
select tenant, cap, weight from shares where pool = ?1 order by tenant
