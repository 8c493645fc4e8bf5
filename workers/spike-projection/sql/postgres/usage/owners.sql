-- HourlyUsage::owners: returns the organization of each project in $1 (JSON [id, ..]). Unknown projects have
-- no row.
SELECT p.id AS project, o.id AS organization
FROM jsonb_array_elements_text($1::jsonb) r
JOIN projects p ON p.id = r
JOIN organizations o ON o.number = p.organization;
