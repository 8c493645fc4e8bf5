-- What is there: one row of `schema`, whether our schema is, and `migrations`, whether the table of migrations is.
select to_regnamespace('lockgate') is not null as schema, to_regclass('lockgate.lockgate_migrations') is not null as migrations
