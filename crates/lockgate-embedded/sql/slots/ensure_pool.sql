-- Creates pool ?1 with ?2 slots and ?3 for each tenant (or null), if it does not exist, and notes these numbers as the
-- configured ones. After a loss of state, leases may exist before their pool.
-- Keeps: what an operator has set is not reverted.
insert into pools (name, slots, per_tenant, configured_slots, configured_per_tenant, peak)
values (?1, ?2, ?3, ?2, ?3, coalesce((select sum(weight) from lease_needs where pool = ?1), 0))
on conflict (name) do update set
    configured_slots = excluded.configured_slots, configured_per_tenant = excluded.configured_per_tenant
