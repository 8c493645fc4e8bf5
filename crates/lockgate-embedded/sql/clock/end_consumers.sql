-- The host was started anew: every consumer is dead at ?1 (virtual ms).
update consumers set deadline = ?1
