-- Starts the history anew. Older entries no longer count.
-- ?1 now (ms since 1970), ?2 last number (fence or stop order).
update record_start set at = ?1, number = ?2,
    serial = max(serial, (select coalesce(max(serial), 0) from record))
where one = 1
