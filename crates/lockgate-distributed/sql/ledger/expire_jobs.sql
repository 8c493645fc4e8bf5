-- Skips at most $2 jobs of run number $1, whose deadline has passed, for reason $3. Returns their number. $4
-- is the ledger time (ms). The run records the seq that the sweep has reached, so its last step costs as much
-- as the first one.
with run as (
    select number, expired_to from runs where number = $1 for update
), live as (
    select s.id, s.seq from run join standings s on s.run = run.number and s.seq > run.expired_to
    where s.state in ('scheduled', 'enqueued')
    order by s.seq limit $2 for update of s
), done as (
    update standings s set state = 'skipped', reason = $3, due_at = null, updated_at = $4::bigint
    from live where s.id = live.id
), advanced as (
    update runs r set expired_to = case when (select count(*) from live) < $2 then 0 else (select max(seq) from live) end
    from run where r.number = run.number
)
select count(*) from live
