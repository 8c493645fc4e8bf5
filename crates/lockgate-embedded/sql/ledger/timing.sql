-- When jobs of run number ?1 were first and last settled (ms since 1970), and how long they waited for slots (ms), in
-- vain or not: median and 99th percentile by nearest rank. One row; first is null when nothing was settled yet.
with waits as (
    select waited, settled_at, row_number() over (order by waited) as place, count(*) over () as jobs
    from jobs where run = ?1 and settled_at is not null
)
select
    min(settled_at) as first,
    max(settled_at) as last,
    min(waited) filter (where place * 100 >= jobs * 50) as p50,
    min(waited) filter (where place * 100 >= jobs * 99) as p99
from waits
