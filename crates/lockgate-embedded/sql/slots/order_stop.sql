-- Orders the holders of pool ?1 to stop, by order number ?2. Keeps: what they hold counts until it is released or expired.
update leases set stop = ?2 where id in (select lease from lease_needs where pool = ?1) and draining_until is null
