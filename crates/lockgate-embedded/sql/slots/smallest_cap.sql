-- The smallest cap that a tenant has in pool ?1: its own, or the pool's; null: no cap.
select min(cap) from (
    select per_tenant as cap from pools where name = ?1 union all select cap from shares where pool = ?1
)
