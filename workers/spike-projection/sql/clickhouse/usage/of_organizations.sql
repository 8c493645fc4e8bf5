-- ClickHouseSource::hourly, Table::put: returns the usage of {organizations} from second {from} up to, but
-- not including, second {to}, with one row for each organization, project, category and hour.
--
-- Outcome 0 is accepted. Of dropped usage (outcome 2), only usage dropped by spike protection would otherwise
-- have been accepted.
SELECT
    org_id,
    project_id,
    category,
    intDiv(toUInt32(timestamp), 3600) AS hour,
    sumIf(quantity, outcome = 0) AS accepted,
    sumIf(quantity, outcome = 2 AND reason = 'smart_rate_limit') AS dropped
FROM {table}
WHERE org_id IN ({organizations})
    AND category IN (1, 2, 4)
    AND timestamp >= toDateTime({from})
    AND timestamp < toDateTime({to})
GROUP BY org_id, project_id, category, hour
ORDER BY org_id, project_id, category, hour
FORMAT JSONCompact
