-- Queries::running: the ids of all running queries that begin with {id}.
SELECT query_id FROM system.processes WHERE startsWith(query_id, '{id}') FORMAT JSONCompact
