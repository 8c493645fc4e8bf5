-- QueryCounter::finished, step 2: counts logged queries that name the table {first}{rest}: those served, and
-- those rejected because too many ran.
SELECT
    countIf(toUInt8(type) = 2) AS served,
    countIf(toUInt8(type) = 3 AND position(exception, 'Too many simultaneous queries') > 0) AS refused
FROM system.query_log
WHERE position(query, concat('{first}', '{rest}')) > 0
FORMAT JSONCompact
