-- HourlyUsage::unknown_projects: which of the projects $1 (JSON [id, ..]) are not there.
SELECT r FROM jsonb_array_elements_text($1::jsonb) r WHERE NOT EXISTS (SELECT 1 FROM projects p WHERE p.id = r);
