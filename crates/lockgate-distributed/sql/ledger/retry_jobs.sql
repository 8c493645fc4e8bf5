-- Makes at most $4 jobs of run number $1 that are planned after seq $2 and in the states $3 (terminal ones) due now, with
-- all their attempts. Their executions and dispatches keep counting, and a dispatch is passed over, so that nothing older
-- may speak for them. One row:
-- `changed`, and `last`, the seq to go on from (null: none is left).
-- $5 is ledger time, now (ms).
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
