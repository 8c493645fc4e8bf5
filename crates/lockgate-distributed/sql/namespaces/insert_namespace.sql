-- Records that namespace $1 is used with this ledger. Affects one row the first time, none later.
insert into namespaces (name, initialized_at) values ($1, wall_now()) on conflict (name) do nothing
