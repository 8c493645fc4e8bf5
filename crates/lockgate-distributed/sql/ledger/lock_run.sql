-- The run of id $1, or no row; nobody else changes it until this transaction ends.
select * from runs where id = $1 for update
