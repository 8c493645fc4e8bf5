-- Opens session ?1 of process ?2, alive until ?3 (virtual ms), when it is not known.
insert into sessions (id, process, deadline) values (?1, ?2, ?3) on conflict (id) do nothing
