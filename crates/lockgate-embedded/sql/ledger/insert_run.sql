-- Creates a run in planning, unless a run of its name exists.
-- ?1 id, ?2 name, ?3 kind, ?4 queue, ?5 as_of, ?6 batch_size, ?7 batch_delay (ms), ?8 start_at (null: when it
-- is sealed), ?9 deadline (ms after the start; null: none), ?10 now. Times are ms since 1970.
-- Invariant: a name has one run.
insert into runs (id, name, kind, queue, as_of, status, batch_size, batch_delay, start_at, deadline, created_at)
values (?1, ?2, ?3, ?4, ?5, 'planning', ?6, ?7, ?8, ?9, ?10)
on conflict (name) do nothing
