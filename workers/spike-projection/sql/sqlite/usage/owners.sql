-- HourlyUsage::owners: returns the organization of each project in ?1 (JSON [id, ..]). Unknown projects have
-- no row.
SELECT p.id AS project, o.id AS organization
FROM json_each(?1) r
JOIN projects p ON p.id = r.value
JOIN organizations o ON o.number = p.organization;
