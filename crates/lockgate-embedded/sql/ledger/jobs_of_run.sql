-- Returns jobs of a run, in the order of planning.
-- ?1 id of the run, ?2 JSON array of states (empty: any), ?3 key (null: any), ?4 id of a run that lacks the
-- key (null: no such filter), ?5 id of the last job of the previous page (null: first page), ?6 page size.
select j.* from job_records j
where j.run = (select number from runs where id = ?1)
    and (?2 = '[]' or j.state in (select value from json_each(?2)))
    and (?3 is null or j.key = ?3)
    and (?4 is null or not exists (
        select 1 from runs r cross join jobs other on other.run = r.number and other.key = j.key
        where r.id = ?4))
    and j.seq > coalesce((select seq from jobs where id = ?5), 0)
order by j.seq limit ?6
