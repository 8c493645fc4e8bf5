-- Returns the numbers of at most $1 runs whose deadline has passed and that have jobs which are not terminal.
-- $2 is the ledger time (ms).
select r.number from runs r
where r.deadline_at <= $2::bigint
    and exists (
        select from tallies t where t.run = r.number and t.state in ('scheduled', 'enqueued') and t.jobs > 0)
order by r.deadline_at limit $1
