-- Toggles whether waiters are stranded. The caller sets the heads of their queues afterwards.
-- ?1 JSON array of tickets.
update waiters set stranded = 1 - stranded where ticket in (select value from json_each(?1))
