-- HourlyUsage::import, step 1: writes hours of usage. A stored hour is replaced.
--
-- ?1 JSON [[project id, category, hour, accepted, dropped], ..]. Rows of unknown projects are not written;
-- the caller reads the number of written rows.
INSERT INTO hourly_usage (project, category, hour, accepted, dropped)
SELECT p.number, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4
FROM json_each(?1) r
JOIN projects p ON p.id = r.value ->> 0
WHERE TRUE
ON CONFLICT (project, category, hour) DO UPDATE SET accepted = excluded.accepted, dropped = excluded.dropped;
