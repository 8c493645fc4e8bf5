-- Returns a run, or no row.
-- ?1 name.
select * from runs where name = ?1
