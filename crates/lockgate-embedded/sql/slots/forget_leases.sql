-- Deletes all leases. For tests.
delete from leases
