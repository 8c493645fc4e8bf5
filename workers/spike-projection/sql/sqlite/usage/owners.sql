-- HourlyUsage::owners: the organizations of the projects ?1 (JSON [id, ..]). A project that is not there has no row.
SELECT p.id AS project, o.id AS organization
FROM json_each(?1) r
JOIN projects p ON p.id = r.value
JOIN organizations o ON o.number = p.organization;
