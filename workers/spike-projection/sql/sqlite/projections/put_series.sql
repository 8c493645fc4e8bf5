-- Projections::replace, step 3: writes the values that all hours of a series share.
--
-- ?1 organization number; ?2 JSON [[project id, category, floor, multiplier, samples, ..], ..].
-- A project that was deleted or moved to another organization in the meantime is skipped.
INSERT INTO projected_series (organization, project, category, floor, multiplier, samples)
SELECT ?1, p.number, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4
FROM json_each(?2) r
JOIN projects p ON p.id = r.value ->> 0 AND p.organization = ?1
WHERE TRUE
ON CONFLICT (organization, project, category) DO UPDATE SET
    floor = excluded.floor,
    multiplier = excluded.multiplier,
    samples = excluded.samples;
