-- Deletes all pools. For tests.
delete from pools
