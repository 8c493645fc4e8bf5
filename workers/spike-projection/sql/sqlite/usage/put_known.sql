-- HourlyUsage::import, step 2: records that the pipeline had data in these hours.
--
-- ?1 JSON [[project id, category, hour, ..], ..].
INSERT INTO known_hours (hour)
SELECT DISTINCT r.value ->> 2 FROM json_each(?1) r WHERE TRUE
ON CONFLICT (hour) DO NOTHING;
