-- Returns a run, or no row.
-- ?1 id.
select * from runs where id = ?1
