-- Count::running: how many queries run that name the table {first}{rest}. This one does not name it, and is answered on a
-- full server.
SELECT count() FROM system.processes WHERE position(query, concat('{first}', '{rest}')) > 0 FORMAT JSONCompact
