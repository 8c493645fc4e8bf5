-- Makes pool ?1 with ?2 slots and ?3 for each tenant (or null), when it is not there. After a loss of state, leases may be
-- there before it.
-- Keeps: what an operator has set is not reverted.
insert into pools (name, slots, per_tenant, peak)
values (?1, ?2, ?3, coalesce((select sum(weight) from lease_needs where pool = ?1), 0))
on conflict (name) do nothing
