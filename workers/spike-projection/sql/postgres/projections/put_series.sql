-- Projections::replace, step 3: writes the values that all hours of a series share.
--
-- $1 organization number; $2 JSON [[project id, category, floor, multiplier, samples, ..], ..].
-- A project that was deleted or moved to another organization in the meantime is skipped.
INSERT INTO projected_series (organization, project, category, floor, multiplier, samples)
SELECT $1, p.number, (r ->> 1)::smallint, (r ->> 2)::bigint, (r ->> 3)::double precision, (r ->> 4)::integer
FROM jsonb_array_elements($2::jsonb) r
JOIN projects p ON p.id = r ->> 0 AND p.organization = $1
ON CONFLICT (organization, project, category) DO UPDATE SET
    floor = excluded.floor,
    multiplier = excluded.multiplier,
    samples = excluded.samples;
