-- Returns the applied migrations of component $1, oldest first: version, checksum, applied_at (ms since
-- 1970).
select version, checksum, applied_at from lockgate_migrations where component = $1 order by version
