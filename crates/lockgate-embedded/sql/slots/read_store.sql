-- The store's own row: number, learning_until. No row: its state is lost.
select number, learning_until from slot_store where one = 1
