-- Returns the run of the job of id $1, or no row, and locks the run until this transaction ends.
select r.* from standings s join runs r on r.number = s.run where s.id = $1 for update of r
