-- Returns the numbers of at most 100 dead consumers.
-- ?1 now (virtual ms).
select number from consumers where deadline <= ?1 limit 100
