-- Whether the file holds tables, but none of ours: the database of another program.
-- Returns one row: 1 or 0. An empty file is nobody's.
select exists (select 1 from sqlite_schema where type = 'table')
   and not exists (select 1 from sqlite_schema where type = 'table' and name = 'lockgate_migrations')
