-- The last number that was given out: one row, 0 when the state is lost.
select coalesce((select number from slot_store where one = 1), 0)
