-- Returns the active run whose next batch has been due the longest, or no row.
-- ?1 now (ms since 1970).
select * from runs where status = 'active' and next_due <= ?1
    and (deadline_at is null or deadline_at > ?1)
order by next_due limit 1
