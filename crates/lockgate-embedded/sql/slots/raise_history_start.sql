-- Records that grants up to a number precede the history.
-- ?1 number (fence).
update record_start set number = max(number, ?1) where one = 1
