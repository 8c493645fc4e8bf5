-- Orders the holders of a pool to stop. They keep their slots until release or expiry.
-- ?1 pool, ?2 number of the order.
update leases set stop = ?2
where id in (select lease from lease_needs where pool = ?1) and draining_until is null
