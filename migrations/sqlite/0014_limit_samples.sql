-- Adds rate limits without a rate in force, and counts of job outcomes for ramps.

alter table rates add column is_limited integer not null default 1; -- 0: no rate is in force; the token bucket is kept
alter table rates add column changed_at integer not null default 0; -- time of the last change, ns of uptime
-- Jobs of all processes since the last change: ended, failed, and slower than allowed.
alter table rates add column ended integer not null default 0;
alter table rates add column failed integer not null default 0;
alter table rates add column slow integer not null default 0;
