-- Queries::end, step 2: a row while the query {id} is there. Of all SELECTs, only such a plain one of this table is
-- answered on a full server.
SELECT query_id FROM system.processes WHERE query_id = '{id}' FORMAT JSONCompact
