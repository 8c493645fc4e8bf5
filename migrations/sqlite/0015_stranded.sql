-- Marks stranded waiters, which need more slots than they may have now. Granting skips them until that
-- changes.

alter table waiters add column heaviest integer not null default 1; -- the most slots that it needs of any single pool
alter table waiters add column stranded integer not null default 0; -- 1: it needs more than the pool's slots or its tenant's cap
update waiters set heaviest = (select max(value ->> 'weight') from json_each(waiters.needs));

create index waiters_by_weight on waiters (heaviest);
