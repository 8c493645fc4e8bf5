-- Projections::replace, step 4: writes the hours of all series, one row each.
--
-- ?1 organization number; ?2 JSON [[project id, category, .., .., .., [[expected, limit, reason], ..]], ..],
-- with
-- consecutive hours from ?3 on.
-- Keeps: writing the same projection twice leaves the same rows as writing it once.
INSERT INTO projected_hours (series, hour, expected, spike_limit, reason)
SELECT s.number, ?3 + h.key, h.value ->> 0, h.value ->> 1, h.value ->> 2
FROM json_each(?2) r
JOIN projects p ON p.id = r.value ->> 0
JOIN projected_series s ON s.organization = ?1 AND s.project = p.number AND s.category = r.value ->> 1
JOIN json_each(r.value, '$[5]') h
WHERE TRUE
ON CONFLICT (series, hour) DO UPDATE SET
    expected = excluded.expected,
    spike_limit = excluded.spike_limit,
    reason = excluded.reason;
