-- Stores a point of ledger time.
-- ?1 ledger time and ?2 wall-clock time (ms since 1970), ?3 uptime (ms), ?4 boot.
update ledger_clock set ledger = ?1, wall = ?2, uptime = ?3, boot = ?4 where one = 1
