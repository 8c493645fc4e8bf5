-- Stores a reading of the virtual clock.
-- ?1 virtual time (ms), ?2 uptime of the host (ms), ?3 boot.
-- Invariant: virtual time never goes back.
update clock set now = max(now, ?1), uptime = ?2, boot = ?3 where one = 1
