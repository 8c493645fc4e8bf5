-- Queries::logged: the logged queries with the id of an attempt (job, attempt, fence) that began between {from} and {to}
-- (seconds): id, second of the beginning, milliseconds, and 1 for those that were refused because as many ran as may.
-- {rows} of them from place {skip} on. A query of less than a second is certain to have run at no instant that the log
-- can tell, see `logged.rs`, so it is left out.
SELECT
    query_id,
    toUnixTimestamp(query_start_time) AS began,
    query_duration_ms,
    toUInt8(type) = 3 AS refused
FROM system.query_log
WHERE query_id LIKE '________-____-____-____-____________-%-%'
    AND toUnixTimestamp(query_start_time) BETWEEN {from} AND {to}
    AND ((toUInt8(type) = 2 AND query_duration_ms > 1000)
        OR (toUInt8(type) = 3 AND position(exception, 'Too many simultaneous queries') > 0))
ORDER BY began, query_id
LIMIT {skip}, {rows}
FORMAT JSONCompact
