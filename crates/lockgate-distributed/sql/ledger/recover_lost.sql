-- Makes at most $2 jobs due now that were handed to the broker $1 (ms) ago or before, and were not started since. One row:
-- how many. A publication all of whose jobs were looked at is forgotten: each is looked at once.
with old as (
    select at, number, jobs from publications where at <= ledger_now() - $1 order by at limit 1000 for update skip locked
), lost as (
    select s.id from (select unnest(jobs) as id from old) x join standings s on s.id = x.id
    where s.state = 'enqueued' and not s.started and s.updated_at <= ledger_now() - $1
    order by s.id limit $2 for update of s
), taken as (
    update standings s set state = 'scheduled', due_at = ledger_now(), dispatched = false, updated_at = ledger_now()
    from lost where s.id = lost.id
), seen as (
    delete from publications p using old
    where p.at = old.at and p.number = old.number and (select count(*) from lost) < $2
)
select count(*) from lost
