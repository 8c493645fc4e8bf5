-- The sets of pools that somebody waits for, and how many lines wait there.
select pools, count(*) as lines from waiters where head = 1 group by pools
