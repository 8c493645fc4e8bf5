-- Returns when the first and the last job of a run were settled (ms since 1970), and the median and the 99th
-- percentile (nearest rank) of the time that settled jobs waited for slots (ms), granted or not. One row; all
-- null before the first settlement.
-- ?1 number of the run.
with waits as (
    select waited, settled_at, row_number() over (order by waited) as rank, count(*) over () as jobs
    from jobs where run = ?1 and settled_at is not null
)
select
    min(settled_at) as first,
    max(settled_at) as last,
    min(waited) filter (where rank * 100 >= jobs * 50) as p50,
    min(waited) filter (where rank * 100 >= jobs * 99) as p99
from waits
