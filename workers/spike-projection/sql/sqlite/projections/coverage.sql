-- Projections::coverage: counts active organizations with an active subscription; those with a projection of
-- hour ?1; those with an older one marked stale; and those without any. Returns also the time at which the
-- oldest was computed.
SELECT count(*) AS active,
       coalesce(sum(d.generation >= ?1), 0) AS covered,
       coalesce(sum(d.stale IS NOT NULL), 0) AS stale,
       coalesce(sum(d.organization IS NULL), 0) AS missing,
       min(d.computed_at) AS oldest
FROM organizations o
JOIN subscriptions s ON s.organization = o.number AND s.active
LEFT JOIN projected d ON d.organization = o.number
WHERE o.active;
