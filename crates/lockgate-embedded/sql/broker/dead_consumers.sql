-- At most 100 consumers that are dead at ?1 (virtual ms).
select number from consumers where deadline <= ?1 limit 100
