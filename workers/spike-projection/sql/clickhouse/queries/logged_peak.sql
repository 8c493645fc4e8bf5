-- Logged::of_jobs: of the queries with the id of an attempt (job, attempt, fence) that began between {from} and {to} (seconds), how many
-- at least ran at once, and how many were refused because as many ran as may.
-- The log knows the second in which a query began, and how long it took: so from the end of that second on it ran for certain, until
-- as long after its beginning as it took. What may have overlapped beyond that is not counted.
SELECT
    (
        SELECT arrayReduce('max', arrayPushFront(arrayCumSum(groupArray(n)), toInt64(0)))
        FROM
        (
            SELECT at, n
            FROM
            (
                SELECT (toInt64(toUnixTimestamp(query_start_time)) + 1) * 1000 AS at, toInt64(1) AS n
                FROM system.query_log
                WHERE toUInt8(type) = 2 AND query_duration_ms > 1000 AND query_id LIKE '________-____-____-____-____________-%-%'
                    AND toUnixTimestamp(query_start_time) BETWEEN {from} AND {to}
                UNION ALL
                SELECT toInt64(toUnixTimestamp(query_start_time)) * 1000 + toInt64(query_duration_ms) AS at, toInt64(-1) AS n
                FROM system.query_log
                WHERE toUInt8(type) = 2 AND query_duration_ms > 1000 AND query_id LIKE '________-____-____-____-____________-%-%'
                    AND toUnixTimestamp(query_start_time) BETWEEN {from} AND {to}
            )
            ORDER BY at, n
        )
    ) AS peak,
    (
        SELECT count()
        FROM system.query_log
        WHERE toUInt8(type) = 3 AND position(exception, 'Too many simultaneous queries') > 0
            AND query_id LIKE '________-____-____-____-____________-%-%'
            AND toUnixTimestamp(query_start_time) BETWEEN {from} AND {to}
    ) AS refused
FORMAT JSONCompact
