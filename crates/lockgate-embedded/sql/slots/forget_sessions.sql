-- Deletes all sessions. For tests.
delete from sessions
