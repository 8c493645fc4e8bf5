-- Records an applied migration.
-- ?1 component, ?2 version, ?3 name, ?4 checksum, ?5 now (ms since 1970).
insert into lockgate_migrations (component, version, name, checksum, applied_at) values (?1, ?2, ?3, ?4, ?5)
