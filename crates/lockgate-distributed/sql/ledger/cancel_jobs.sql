-- Ends at most $4 jobs of run number $1 that are planned after seq $2 and not over, for reason $3. One row: `changed`, and
-- `last`, the seq to go on from (null: none is left).
-- Keeps: a terminal state is never left.
-- $5 is ledger time, now (ms).
with live as (
    select id, seq from standings
    where run = $1 and seq > $2 and state in ('scheduled', 'enqueued')
    order by seq limit $4 for update
), done as (
    update standings s set state = 'cancelled', reason = $3, due_at = null, updated_at = $5::bigint
    from live where s.id = live.id
    returning s.seq
)
select count(*) as changed, max(seq) as last from done
