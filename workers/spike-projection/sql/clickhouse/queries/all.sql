-- Queries::all: the ids of all queries that run. Such a plain SELECT of this table is answered on a full server.
SELECT query_id FROM system.processes FORMAT JSONCompact
