-- Jobs of any run, in the order of planning; ?1 is null.
-- ?2 JSON array of states (empty: any), ?3 key or null, ?4 id of a run that lacks the key or null, ?5 id of the last job
-- of the page before or null, ?6 limit.
select j.* from job_records j
where ?1 is null
    and (?2 = '[]' or j.state in (select value from json_each(?2)))
    and (?3 is null or j.key = ?3)
    and (?4 is null or not exists (
        select 1 from runs r cross join jobs other on other.run = r.number and other.key = j.key where r.id = ?4))
    and j.seq > coalesce((select seq from jobs where id = ?5), 0)
order by j.seq limit ?6
