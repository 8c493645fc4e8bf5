-- Creates a pool if it does not exist, and stores the configured numbers. After a loss of state, leases can
-- exist before their pool.
-- ?1 pool, ?2 slots, ?3 slots per tenant (null: no cap).
-- Invariant: numbers that an operator has set are not reverted.
insert into pools (name, slots, per_tenant, configured_slots, configured_per_tenant, peak)
values (?1, ?2, ?3, ?2, ?3, coalesce((select sum(weight) from lease_needs where pool = ?1), 0))
on conflict (name) do update set
    configured_slots = excluded.configured_slots, configured_per_tenant = excluded.configured_per_tenant
