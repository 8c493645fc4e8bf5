-- Returns the run of name $1, or no row.
select * from runs where name = $1
