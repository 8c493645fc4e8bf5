-- Whether consumer ?1 is known: one row, 1 or 0.
select exists (select 1 from consumers where number = ?1)
