-- Ends all sessions after a reboot of the host.
-- ?1 now (virtual ms).
update sessions set deadline = ?1
