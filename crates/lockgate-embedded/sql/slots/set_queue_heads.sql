-- Sets the heads of queues.
-- ?1 JSON array of {tenant, pools}.
-- Invariant: the head of a queue is its oldest waiter that is not stranded.
update waiters set head = 1
where head = 0 and ticket in (
    select (
        select min(w.ticket) from waiters w
        where w.tenant = x.value ->> 'tenant' and w.pools = x.value ->> 'pools'
            and w.stranded = 0
    )
    from json_each(?1) x
)
