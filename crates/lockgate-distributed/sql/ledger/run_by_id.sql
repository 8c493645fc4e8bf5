-- Returns the run of id $1, or no row.
select * from runs where id = $1
