-- Records, at the start ?1 of the host, which file the database is: device and inode ?2.
insert into database_file (one, boot, file) values (1, ?1, ?2)
on conflict (one) do update set boot = excluded.boot, file = excluded.file
