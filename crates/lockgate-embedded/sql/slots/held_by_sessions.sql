-- What the sessions in ?1 (JSON array of ids) hold still; what had to drain drains already.
select id from leases where session in (select value from json_each(?1)) and draining_until is null
