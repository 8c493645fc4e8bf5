-- Ends all consumers after a reboot of the host.
-- ?1 now (virtual ms).
update consumers set deadline = ?1
