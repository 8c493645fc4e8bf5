-- Records the file that holds the database.
-- ?1 boot of the host, ?2 device and inode of the file.
insert into database_file (one, boot, file) values (1, ?1, ?2)
on conflict (one) do update set boot = excluded.boot, file = excluded.file
