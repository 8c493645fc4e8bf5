-- SqlSource::hourly: returns the usage of organization $1 from hour $2 up to, but not including, hour $3,
-- unordered.
SELECT p.id AS project, u.category::bigint AS category, u.hour::bigint AS hour, u.accepted, u.dropped
FROM organizations o
JOIN projects p ON p.organization = o.number
JOIN hourly_usage u ON u.project = p.number
WHERE o.id = $1 AND u.category IN (1, 2, 3) AND u.hour >= $2 AND u.hour < $3;
