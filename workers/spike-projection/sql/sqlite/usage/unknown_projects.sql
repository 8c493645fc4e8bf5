-- HourlyUsage::unknown_projects: which of the projects ?1 (JSON [id, ..]) are not there.
SELECT r.value FROM json_each(?1) r WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = r.value);
