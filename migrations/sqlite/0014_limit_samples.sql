-- Limits without a rate, and what jobs came to in a stage.

alter table rates add column is_limited integer not null default 1; -- 0: no rate is in force; the bucket is kept
alter table rates add column changed_at integer not null default 0; -- ns since the host was started
-- Jobs of all processes since then: those that ended, that failed, that took too long.
alter table rates add column ended integer not null default 0;
alter table rates add column failed integer not null default 0;
alter table rates add column slow integer not null default 0;
