-- Projections::coverage: how many active organizations with an active subscription there are, how many of them have
-- a projection of the hour $1, how many an older one marked stale, and how old the oldest is, in whole seconds;
-- NULL when there is none.
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
