-- Makes jobs of queue $3 due now whose message was published at least $1 (ms) ago and that have not started
-- since. $4 is the ledger time (ms). Reads the oldest publications until they contain $2 jobs, so a call
-- reads about as many jobs as it recovers. A publication is deleted when all its jobs were read, so each is
-- read once. Returns one row: `jobs`, how many are due now, at most $2; and `more`, whether older
-- publications are left.
with old as (
    select at, number, jobs from publications
    where queue = $3 and at <= $4::bigint - $1 order by at, number limit 100 for update skip locked
), summed as (
    select at, number, jobs, sum(cardinality(jobs)) over (order by at, number) as total, count(*) over () as publications from old
), portion as (
    select at, number, jobs, total, publications from summed where total - cardinality(jobs) < $2
), lost as (
    select s.id from (select unnest(jobs) as id from portion) x join standings s on s.id = x.id
    where s.state = 'enqueued' and not s.started and s.updated_at <= $4::bigint - $1
    order by s.id limit $2 for update of s
), recovered as (
    update standings s set state = 'scheduled', due_at = $4::bigint, dispatched = false, updated_at = $4::bigint
    from lost where s.id = lost.id
), done as (
    select coalesce(max(total), 0) <= $2 or (select count(*) from lost) < $2 as whole, count(*) as portion,
        coalesce(max(publications), 0) as publications
    from portion
), deleted as (
    delete from publications p using portion, done
    where done.whole and p.queue = $3 and p.at = portion.at and p.number = portion.number
)
select (select count(*) from lost) as jobs, not whole or publications = 100 or portion < publications as more from done
