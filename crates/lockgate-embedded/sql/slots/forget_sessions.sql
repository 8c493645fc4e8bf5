-- Forgets all sessions.
delete from sessions
