-- Cancels at most $4 jobs of run number $1 that come after seq $2 and are not terminal, for reason $3. $5 is
-- the ledger time (ms). Returns one row: `changed`, and `last`, the seq after which to continue (null: no job
-- is left).
-- Keeps: a terminal state is final.
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
