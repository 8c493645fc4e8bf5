-- Returns the ids of dead sessions, those dead the longest first.
-- ?1 now (virtual ms), ?2 maximum number of rows.
select id from sessions where deadline <= ?1 order by deadline limit ?2
