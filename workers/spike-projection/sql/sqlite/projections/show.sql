-- Projections::of: returns the projection of organization ?1, or of its project ?2 if that is not NULL,
-- ordered by project, category and hour.
SELECT project, category, hour, expected, spike_limit, floor, multiplier, reason, generation, method, look_back,
       version, samples, computed_at, stale
FROM projections
WHERE organization = ?1 AND (?2 IS NULL OR project = ?2)
ORDER BY project, category, hour;
