-- Creates the table of applied migrations.
create table lockgate_migrations (
    component text not null,
    version bigint not null,
    name text not null,
    checksum bytea not null,
    applied_at bigint not null, -- ms since 1970, by the clock of this server
    primary key (component, version)
)
