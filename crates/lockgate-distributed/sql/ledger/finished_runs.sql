-- Returns the numbers of at most $2 runs that finished more than $1 (ms) ago, oldest first. $3 is the ledger
-- time (ms).
select r.number from runs r
where r.created_at <= $3::bigint - $1 and r.status <> 'planning'
    and not exists (
        select from tallies t
        where t.run = r.number and (t.state in ('scheduled', 'enqueued') and t.jobs > 0 or t.at > $3::bigint - $1))
order by r.number limit $2
