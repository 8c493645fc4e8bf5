-- HourlyUsage::owners: the organizations of the projects $1 (JSON [id, ..]). A project that is not there has no row.
SELECT p.id AS project, o.id AS organization
FROM jsonb_array_elements_text($1::jsonb) r
JOIN projects p ON p.id = r
JOIN organizations o ON o.number = p.organization;
