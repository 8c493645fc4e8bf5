-- Count::logged, step 2: how many logged queries that name the table {first}{rest} were served, and how many were refused
-- because as many ran as may.
SELECT
    countIf(toUInt8(type) = 2) AS served,
    countIf(toUInt8(type) = 3 AND position(exception, 'Too many simultaneous queries') > 0) AS refused
FROM system.query_log
WHERE position(query, concat('{first}', '{rest}')) > 0
FORMAT JSONCompact
