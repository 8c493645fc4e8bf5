-- The run of the job of id $1, or no row; nobody else changes it until this transaction ends.
select r.* from standings s join runs r on r.number = s.run where s.id = $1 for update of r
