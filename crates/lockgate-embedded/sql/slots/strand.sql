-- Changes whether the waiters in ?1 (JSON array of tickets) are stranded. The heads of their lines are named afterwards.
update waiters set stranded = 1 - stranded where ticket in (select value from json_each(?1))
