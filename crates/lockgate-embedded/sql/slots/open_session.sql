-- Creates a session if it does not exist.
-- ?1 session, ?2 name of its process, ?3 deadline (virtual ms).
insert into sessions (id, process, deadline) values (?1, ?2, ?3) on conflict (id) do nothing
