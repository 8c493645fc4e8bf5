-- Queries::all: returns the ids of all running queries. Such a plain SELECT of this table works on a full
-- server.
SELECT query_id FROM system.processes FORMAT JSONCompact
