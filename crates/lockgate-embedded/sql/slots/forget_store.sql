-- Deletes the store's own row, so that the next call detects a loss of state. For tests.
delete from slot_store
