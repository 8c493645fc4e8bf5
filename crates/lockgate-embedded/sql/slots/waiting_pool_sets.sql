-- Returns the pool sets that requests wait for, and how many queues wait for each. Stranded waiters are
-- excluded.
select pools, count(*) as queues from waiters where head = 1 group by pools
