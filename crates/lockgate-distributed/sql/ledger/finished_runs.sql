-- Numbers of runs that were over $1 (ms) ago already; at most $2, the oldest first.
-- $3 is ledger time, now (ms).
select r.number from runs r
where r.created_at <= $3::bigint - $1 and r.status <> 'planning'
    and not exists (
        select from tallies t
        where t.run = r.number and (t.state in ('scheduled', 'enqueued') and t.jobs > 0 or t.at > $3::bigint - $1))
order by r.number limit $2
