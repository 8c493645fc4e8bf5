-- Queries::logged: returns logged queries whose id is that of an attempt (job, attempt, fence) and that
-- started between {from} and {to} (seconds): id, second of the start, duration in milliseconds, and 1 if
-- rejected because too many ran. Returns {rows} rows after the first {skip}. Queries shorter than a second
-- are left out: the log cannot tell any instant at which they certainly ran, see `logged.rs`.
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
