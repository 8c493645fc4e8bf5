-- The record begins anew at ?1 (ms since 1970) and number ?2: what is in it does not count any more.
update record_start set at = ?1, number = ?2, serial = max(serial, (select coalesce(max(serial), 0) from record))
where one = 1
