-- Records which file holds the database, so that a restored copy is recognized.
create table database_file (
    one integer primary key check (one = 1),
    boot text not null,         -- boot id of the host
    file text not null          -- device and inode
) strict;
