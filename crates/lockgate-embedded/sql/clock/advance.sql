-- Sets the clock to ?1 (virtual ms), as read at uptime ?2 (ms) of boot ?3. Keeps: now never goes back.
update clock set now = max(now, ?1), uptime = ?2, boot = ?3 where one = 1
