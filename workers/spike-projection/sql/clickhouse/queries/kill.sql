-- Queries::end, step 1: ends the query {id}, and answers with a row when there was one. It is answered on a full server.
KILL QUERY WHERE query_id = '{id}' SYNC FORMAT JSONCompact
