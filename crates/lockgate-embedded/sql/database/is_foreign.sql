-- Returns whether the database belongs to another program: one row, 1 or 0. It does if it has tables but not
-- the table of applied migrations. An empty database belongs to no program.
select exists (select 1 from sqlite_schema where type = 'table')
   and not exists (select 1 from sqlite_schema where type = 'table' and name = 'lockgate_migrations')
