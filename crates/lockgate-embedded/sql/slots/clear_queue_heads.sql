-- Clears the heads of queues, so that set_queue_heads can set them again.
-- ?1 JSON array of {tenant, pools}.
update waiters set head = 0
where head = 1 and ticket in (
    select w.ticket
    from json_each(?1) x cross join waiters w
        on w.tenant = x.value ->> 'tenant' and w.pools = x.value ->> 'pools'
    where w.head = 1
)
