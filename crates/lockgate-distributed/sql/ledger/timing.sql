-- Returns when jobs of run number $1 were first and last settled (ms since 1970), and how long settled jobs
-- waited for slots (ms), granted or not: median and 99th percentile by nearest rank. One row; `first` is null
-- when no job was settled yet.
select min(settled_at) as first, max(settled_at) as last,
    percentile_disc(0.5) within group (order by waited) as p50,
    percentile_disc(0.99) within group (order by waited) as p99
from standings where run = $1 and settled_at is not null
