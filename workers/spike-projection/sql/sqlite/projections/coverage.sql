-- Projections::coverage: how many active organizations with an active subscription there are, how many of them have
-- a projection of the hour ?1, how many an older one marked stale, and when the oldest was computed.
SELECT count(*) AS active,
       coalesce(sum(d.generation >= ?1), 0) AS covered,
       coalesce(sum(d.stale IS NOT NULL), 0) AS stale,
       coalesce(sum(d.organization IS NULL), 0) AS missing,
       min(d.computed_at) AS oldest
FROM organizations o
JOIN subscriptions s ON s.organization = o.number AND s.active
LEFT JOIN projected d ON d.organization = o.number
WHERE o.active;
