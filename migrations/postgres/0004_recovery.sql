-- Adds the queue to publications, because lost messages are recovered queue by queue.

alter table publications add column queue text not null default '';
update publications p set queue = r.queue from runs r where r.number = p.run;
alter table publications alter column queue drop default;
alter table publications drop constraint publications_pkey;
alter table publications add primary key (queue, at, number);
