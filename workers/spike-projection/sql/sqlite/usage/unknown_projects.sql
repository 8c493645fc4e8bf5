-- HourlyUsage::unknown_projects: returns those of the projects ?1 (JSON [id, ..]) that do not exist.
SELECT r.value FROM json_each(?1) r WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = r.value);
