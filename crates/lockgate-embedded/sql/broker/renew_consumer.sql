-- Keeps consumer ?1 alive until ?2 (virtual ms). No row is changed when it was taken for dead.
update consumers set deadline = ?2 where number = ?1
