-- Forgets all shares.
delete from shares
