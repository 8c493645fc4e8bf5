-- The longest time that backend work may outlive its process, of all leases and waiters: milliseconds.
select max(
    coalesce((select max(drain_for) from leases), 0),
    coalesce((select max(drain_for) from waiters), 0)
)
