-- ClickHouseSource::hourly: returns the hours from second {from} up to, but not including, second {to} in
-- which the pipeline had data of any organization, as numbers since 1970, in order.
SELECT DISTINCT intDiv(toUInt32(timestamp), 3600) AS hour
FROM {table}
WHERE timestamp >= toDateTime({from}) AND timestamp < toDateTime({to})
ORDER BY hour
FORMAT JSONCompact
