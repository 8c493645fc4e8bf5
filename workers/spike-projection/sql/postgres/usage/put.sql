-- HourlyUsage::import, step 1: writes hours of usage; an hour that is there is replaced, of several rows of one hour the
-- last holds.
--
-- $1 JSON [[project id, category, hour, accepted, dropped], ..]. Returns how many of the rows are of a known project:
-- the others are not written.
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
