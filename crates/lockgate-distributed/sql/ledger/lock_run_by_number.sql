-- Locks run number $1 until this transaction ends.
select from runs where number = $1 for update
