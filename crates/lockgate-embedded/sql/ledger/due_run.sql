-- The run that may dispatch whose next batch has been due the longest at ?1 (ms since 1970), or no row.
select * from runs where status = 'active' and next_due <= ?1
    and (deadline_at is null or deadline_at > ?1)
order by next_due limit 1
