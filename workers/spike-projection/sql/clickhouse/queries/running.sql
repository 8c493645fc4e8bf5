-- Queries::running: returns the ids of running queries with the prefix {id}.
SELECT query_id FROM system.processes WHERE startsWith(query_id, '{id}') FORMAT JSONCompact
