-- Returns the next waiters of a queue behind a ticket.
-- ?1 tenant, ?2 pool set (JSON, as stored), ?3 ticket, ?4 maximum number of rows.
select ticket, id, tenant, pools, needs, 1 as more from waiters
where tenant = ?1 and pools = ?2 and ticket > ?3 and stranded = 0 order by ticket limit ?4
