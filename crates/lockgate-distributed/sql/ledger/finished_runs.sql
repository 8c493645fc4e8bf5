-- Numbers of runs that were over $1 (ms) ago already; at most $2, the oldest first.
select r.number from runs r
where r.created_at <= ledger_now() - $1 and r.status <> 'planning'
    and not exists (
        select from tallies t
        where t.run = r.number and (t.state in ('scheduled', 'enqueued') and t.jobs > 0 or t.at > ledger_now() - $1))
order by r.number limit $2
