-- Returns runs, newest first.
-- ?1 name or id of a single run (null: all), ?2 page size.
select * from runs where ?1 is null or name = ?1 or id = ?1 order by number desc limit ?2
