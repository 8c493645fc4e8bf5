-- Takes from tenant ?2 its own cap and weight in pool ?1.
delete from shares where pool = ?1 and tenant = ?2
