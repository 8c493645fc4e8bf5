-- Forgets all leases.
delete from leases
