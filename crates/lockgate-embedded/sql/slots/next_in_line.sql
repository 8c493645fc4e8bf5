-- The ?4 waiters behind ticket ?3 in the line of tenant ?1 for the pools ?2 (JSON, as stored).
select ticket, id, tenant, pools, needs, 1 as more from waiters
where tenant = ?1 and pools = ?2 and ticket > ?3 and stranded = 0 order by ticket limit ?4
