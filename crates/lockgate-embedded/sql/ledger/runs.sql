-- At most ?2 runs, the newest first; only the one whose name or id is ?1, unless that is null.
select * from runs where ?1 is null or name = ?1 or id = ?1 order by number desc limit ?2
