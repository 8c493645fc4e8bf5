-- Forgets the store's own row: the next call finds the state lost.
delete from slot_store
