-- Returns the store's own row: number, learning_until (end of the recovery grace period, virtual ms, null:
-- none). No row: the state is lost.
select number, learning_until from slot_store where one = 1
