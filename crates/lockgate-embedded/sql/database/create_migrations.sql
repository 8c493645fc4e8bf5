-- Makes the table that says which migrations were applied, and marks the file as ours.
create table if not exists lockgate_migrations (
    component text not null,
    version integer not null,
    name text not null,
    checksum blob not null,
    applied_at integer not null, -- ms since 1970, wall clock
    primary key (component, version)
) strict
