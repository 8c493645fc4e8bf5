-- The run of the job of id ?1, or no row.
select r.* from jobs j join runs r on r.number = j.run where j.id = ?1
