-- Sets the own cap and weight of a tenant in a pool.
-- ?1 pool, ?2 tenant, ?3 cap (slots; null: the cap of the pool), ?4 weight.
insert into shares (pool, tenant, cap, weight) values (?1, ?2, ?3, ?4)
on conflict (pool, tenant) do update set cap = excluded.cap, weight = excluded.weight
