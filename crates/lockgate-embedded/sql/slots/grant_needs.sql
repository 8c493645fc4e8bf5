-- Writes down what the new leases take: ?1 is a JSON array of {ticket} of the waiters that they were.
insert into lease_needs (lease, pool, tenant, weight)
select w.id, n.value ->> 'pool', w.tenant, n.value ->> 'weight'
from json_each(?1) x cross join waiters w on w.ticket = x.value ->> 'ticket' cross join json_each(w.needs) n
