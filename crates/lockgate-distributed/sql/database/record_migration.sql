-- Records that migration $2 (version) of component $1, with name $3 and checksum $4, was applied now.
insert into lockgate_migrations (component, version, name, checksum, applied_at)
values ($1, $2, $3, $4, floor(extract(epoch from now()) * 1000)::bigint)
