-- At most ?2 sessions that are dead at ?1 (virtual ms), the longest dead first.
select id from sessions where deadline <= ?1 order by deadline limit ?2
