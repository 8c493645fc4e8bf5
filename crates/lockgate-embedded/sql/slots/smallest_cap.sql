-- Returns the smallest cap of any tenant in a pool, whether the pool's or its own. One row; null: no cap.
-- ?1 pool.
select min(cap) from (
    select per_tenant as cap from pools where name = ?1 union all select cap from shares where pool = ?1
)
