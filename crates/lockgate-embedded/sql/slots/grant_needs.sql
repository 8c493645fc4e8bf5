-- Stores the slots that the new leases of granted waiters use.
-- ?1 JSON array of {ticket}.
insert into lease_needs (lease, pool, tenant, weight)
select w.id, n.value ->> 'pool', w.tenant, n.value ->> 'weight'
from json_each(?1) x cross join waiters w on w.ticket = x.value ->> 'ticket' cross join json_each(w.needs) n
