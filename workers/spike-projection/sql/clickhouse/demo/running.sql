-- QueryCounter::running: counts running queries that name the table {first}{rest}. This statement does not
-- contain the name, and works on a full server.
SELECT count() FROM system.processes WHERE position(query, concat('{first}', '{rest}')) > 0 FORMAT JSONCompact
