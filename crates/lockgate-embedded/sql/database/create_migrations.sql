-- Creates the table of applied migrations, which also identifies the database as one of Lockgate.
create table if not exists lockgate_migrations (
    component text not null,
    version integer not null,
    name text not null,
    checksum blob not null,
    applied_at integer not null, -- ms since 1970, wall clock
    primary key (component, version)
) strict
