-- Queries::end, step 2: returns a row if the query {id} is running. Only such a plain SELECT of this table
-- works on a full server.
SELECT query_id FROM system.processes WHERE query_id = '{id}' FORMAT JSONCompact
