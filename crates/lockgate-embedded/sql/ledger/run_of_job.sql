-- Returns the run of a job, or no row.
-- ?1 id of the job.
select r.* from jobs j join runs r on r.number = j.run where j.id = ?1
