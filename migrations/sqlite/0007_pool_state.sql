-- A pool's pause, what the adaptive limit advises, and the record of holds.

alter table pools add column paused_until integer;             -- virtual ms; null: not paused
alter table pools add column advice integer;                   -- slots; null: none
alter table pools add column advice_enforced integer not null default 0;
alter table pools add column advice_why text not null default '';
alter table pools add column advised_at integer not null default 0; -- virtual ms

-- Holds that ended and changes of limits, in the order of their coming. A lease of two pools has two rows.
create table record (
    serial integer primary key,
    pool text not null,
    at integer not null,        -- ms since 1970
    number integer not null,    -- the last fence, or order to stop, given out by then
    lease text,                 -- of a hold: the lease, its fence, its slots, how it ended
    fence integer,
    weight integer,
    ended text,
    from_slots integer,         -- of a change: the limit before, and from then on
    to_slots integer
) strict;

-- One row, made here once: from here on the record is whole.
create table record_start (
    one integer primary key check (one = 1),
    at integer not null,
    number integer not null,
    serial integer not null     -- the last row that does not count
) strict;
insert into record_start (one, at, number, serial)
select 1, cast(unixepoch('subsec') * 1000 as integer), number, 0 from slot_store
union all select 1, cast(unixepoch('subsec') * 1000 as integer), 0, 0 limit 1;
