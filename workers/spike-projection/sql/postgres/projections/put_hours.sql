-- Projections::replace, step 4: writes the hours of all series, one row each.
--
-- $1 organization number; $2 JSON [[project id, category, .., .., .., [[expected, limit, reason], ..]], ..],
-- with
-- consecutive hours from $3 on.
-- Keeps: writing the same projection twice leaves the same rows as writing it once.
INSERT INTO projected_hours (series, hour, expected, spike_limit, reason)
SELECT s.number, $3 + (n - 1)::integer, (h ->> 0)::double precision, (h ->> 1)::bigint, (h ->> 2)::smallint
FROM jsonb_array_elements($2::jsonb) r
JOIN projects p ON p.id = r ->> 0
JOIN projected_series s ON s.organization = $1 AND s.project = p.number AND s.category = (r ->> 1)::smallint
CROSS JOIN jsonb_array_elements(r -> 5) WITH ORDINALITY AS hours (h, n)
ON CONFLICT (series, hour) DO UPDATE SET
    expected = excluded.expected,
    spike_limit = excluded.spike_limit,
    reason = excluded.reason;
