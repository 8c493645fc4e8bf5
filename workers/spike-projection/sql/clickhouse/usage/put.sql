-- Table::put: writes rows, that follow as tab-separated values. They become one part, or none of them is there.
INSERT INTO {table} (org_id, project_id, timestamp, outcome, reason, category, quantity, times_seen) FORMAT TabSeparated
