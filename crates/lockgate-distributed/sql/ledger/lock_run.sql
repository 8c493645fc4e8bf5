-- Returns the run of id $1, or no row, and locks it until this transaction ends.
select * from runs where id = $1 for update
