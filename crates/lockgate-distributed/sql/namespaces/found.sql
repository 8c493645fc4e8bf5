-- Writes down that namespace $1 is used with this ledger. A row is changed only the first time.
insert into namespaces (name, founded_at) values ($1, wall_now()) on conflict (name) do nothing
