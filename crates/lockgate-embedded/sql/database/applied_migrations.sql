-- Returns the applied migrations of a component, oldest first: version, checksum, applied_at (ms since 1970).
-- ?1 component.
select version, checksum, applied_at from lockgate_migrations where component = ?1 order by version
