-- Keeps session ?1 alive until ?2 (virtual ms). No row is changed when it is not known.
update sessions set deadline = ?2 where id = ?1
