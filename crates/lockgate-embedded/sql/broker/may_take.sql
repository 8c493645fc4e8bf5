-- Whether consumer ?1 may take something of queue ?2 now: one row, 1 or 0. ?3 is its window.
select exists (select 1 from messages where queue = ?2 and consumer is null)
    and (select count(*) from messages where consumer = ?1) < ?3
