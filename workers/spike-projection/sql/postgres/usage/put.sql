-- HourlyUsage::import, step 1: writes hours of usage. A stored hour is replaced. If several rows are for the
-- same hour, the last one is used.
--
-- $1 JSON [[project id, category, hour, accepted, dropped], ..]. Returns the number of rows that belong to a
-- known project. The others are not written.
WITH given AS (
    SELECT p.number AS project, (r ->> 1)::smallint AS category, (r ->> 2)::integer AS hour,
           (r ->> 3)::bigint AS accepted, (r ->> 4)::bigint AS dropped, n
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS rows (r, n)
    JOIN projects p ON p.id = r ->> 0
), written AS (
    INSERT INTO hourly_usage (project, category, hour, accepted, dropped)
    SELECT DISTINCT ON (project, category, hour) project, category, hour, accepted, dropped
    FROM given
    ORDER BY project, category, hour, n DESC
    ON CONFLICT (project, category, hour) DO UPDATE SET accepted = excluded.accepted, dropped = excluded.dropped
)
SELECT count(*) FROM given;
