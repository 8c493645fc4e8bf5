-- Table::put: writes the rows that follow as tab-separated values. They become one part, so either all or
-- none are stored.
INSERT INTO {table} (org_id, project_id, timestamp, outcome, reason, category, quantity, times_seen) FORMAT TabSeparated
