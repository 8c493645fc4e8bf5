-- Projections::of: returns the projection of organization $1, or of its project $2 if that is not NULL,
-- ordered by project, category and hour.
SELECT project, category, hour::bigint AS hour, expected, spike_limit, floor, multiplier, reason,
       generation::bigint AS generation, method, look_back::bigint AS look_back, version::bigint AS version,
       samples::bigint AS samples, computed_at, stale
FROM projections
WHERE organization = $1 AND ($2::text IS NULL OR project = $2)
ORDER BY project COLLATE "C", category COLLATE "C", hour;
