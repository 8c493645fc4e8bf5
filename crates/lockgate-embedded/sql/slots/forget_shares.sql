-- Deletes all caps and weights of tenants. For tests.
delete from shares
