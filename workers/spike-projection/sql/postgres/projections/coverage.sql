-- Projections::coverage: counts active organizations with an active subscription; those with a projection of
-- hour $1; those with an older one marked stale; and those without any. Returns also the age of the oldest
-- projection in whole seconds, or NULL if there is none.
SELECT count(*) AS active,
       count(*) FILTER (WHERE d.generation >= $1) AS covered,
       count(*) FILTER (WHERE d.stale IS NOT NULL) AS stale,
       count(*) FILTER (WHERE d.organization IS NULL) AS missing,
       floor((greatest(extract(epoch FROM clock_timestamp()) * 1000, min(d.computed_at)) - min(d.computed_at)) / 1000)::bigint
           AS age
FROM organizations o
JOIN subscriptions s ON s.organization = o.number AND s.active
LEFT JOIN projected d ON d.organization = o.number
WHERE o.active;
