-- How many consumers of queue ?1 are alive at ?2 (virtual ms).
select count(*) from consumers where queue = ?1 and deadline > ?2
