-- HourlyUsage::unknown_projects: returns those of the projects $1 (JSON [id, ..]) that do not exist.
SELECT r FROM jsonb_array_elements_text($1::jsonb) r WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = r);
