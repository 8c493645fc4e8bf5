-- The host was started anew: every session is dead at ?1 (virtual ms).
update sessions set deadline = ?1
