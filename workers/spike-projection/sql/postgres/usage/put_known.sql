-- HourlyUsage::import, step 2: records that the pipeline had data in these hours.
--
-- $1 JSON [[project id, category, hour, ..], ..].
INSERT INTO known_hours (hour)
SELECT DISTINCT (r ->> 2)::integer FROM jsonb_array_elements($1::jsonb) r
ON CONFLICT (hour) DO NOTHING;
