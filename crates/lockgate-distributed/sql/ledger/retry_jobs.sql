-- Makes at most $4 jobs of run number $1 that come after seq $2 and are in one of the terminal states $3 due
-- now, with all their attempts. $5 is the ledger time (ms). Their executions and dispatches keep counting,
-- and one dispatch number is left out, so that no older delivery can settle them. Returns one row: `changed`,
-- and `last`, the seq after which to continue (null: no job is left).
with over as (
    select id, seq from standings
    where run = $1 and seq > $2 and state = any($3::text[]::job_state[])
    order by seq limit $4 for update
), done as (
    update standings s set
        state = 'scheduled', due_at = $5::bigint, dispatch = s.dispatch + 1, dispatched = false, executing = false, attempt = 0, unsettled = 0,
        deferrals_in_row = 0,
        reason = null, updated_at = $5::bigint
    from over where s.id = over.id
    returning s.seq
)
select count(*) as changed, max(seq) as last from done
