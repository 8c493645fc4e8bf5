-- Gives tenant ?2 a cap ?3 (or null) and a weight ?4 of its own in pool ?1.
insert into shares (pool, tenant, cap, weight) values (?1, ?2, ?3, ?4)
on conflict (pool, tenant) do update set cap = excluded.cap, weight = excluded.weight
