-- Returns jobs of any run, in the order of planning. $1 is null. $2 states (empty: any), $3 key or null, $4
-- id of a run that lacks the key or null, $5 id of the last job of the previous page or null, $6 page size.
select j.* from job_records j
where $1::uuid is null
    and (cardinality($2::text[]) = 0 or j.state = any($2))
    and ($3::text is null or j.key = $3)
    and ($4::uuid is null or not exists (
        select from jobs other where other.run = (select number from runs where id = $4) and other.key = j.key))
    and j.seq > coalesce((select seq from standings where id = $5::uuid), 0)
order by j.seq limit $6
