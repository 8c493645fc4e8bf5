-- Records that migration ?2 (version) of component ?1, named ?3, with checksum ?4, was applied at ?5 (ms since 1970).
insert into lockgate_migrations (component, version, name, checksum, applied_at) values (?1, ?2, ?3, ?4, ?5)
