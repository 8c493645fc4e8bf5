-- What was granted up to number ?1 was granted before the record began.
update record_start set number = max(number, ?1) where one = 1
