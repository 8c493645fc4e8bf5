-- Returns jobs by their ids, in the order of planning.
-- ?1 id of their run (null: any), ?2 JSON array of states (empty: any), ?3 key (null: any), ?4 id of a run
-- that lacks the key (null: no such filter), ?5 id of the last job of the previous page (null: first page),
-- ?6 page size, ?7 JSON array of job ids.
select j.* from job_records j
where j.id in (select value from json_each(?7)) and (?1 is null or j.run_id = ?1)
    and (?2 = '[]' or j.state in (select value from json_each(?2)))
    and (?3 is null or j.key = ?3)
    and (?4 is null or not exists (
        select 1 from runs r cross join jobs other on other.run = r.number and other.key = j.key
        where r.id = ?4))
    and j.seq > coalesce((select seq from jobs where id = ?5), 0)
order by j.seq limit ?6
