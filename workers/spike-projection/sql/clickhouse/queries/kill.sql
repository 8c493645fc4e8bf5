-- Queries::end, step 1: kills the query {id}. Returns a row if it was running. Works on a full server.
KILL QUERY WHERE query_id = '{id}' SYNC FORMAT JSONCompact
