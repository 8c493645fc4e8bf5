-- Returns one row: `schema`, whether the schema of Lockgate exists, and `migrations`, whether the table of
-- migrations exists.
select to_regnamespace('lockgate') is not null as schema, to_regclass('lockgate.lockgate_migrations') is not null as migrations
