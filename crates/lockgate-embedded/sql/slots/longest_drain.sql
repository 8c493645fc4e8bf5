-- Returns the longest time that the backend work of any lease or waiter can outlive its process (ms). One
-- row.
select max(
    coalesce((select max(drain_for) from leases), 0),
    coalesce((select max(drain_for) from waiters), 0)
)
