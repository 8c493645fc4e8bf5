-- Organizations::active_after: up to ?2 active organizations with an active subscription, after the one of number ?1,
-- as number and id. Read page by page, so that any number of them takes little memory.
SELECT o.number, o.id
FROM organizations o
JOIN subscriptions s ON s.organization = o.number AND s.active
WHERE o.active AND o.number > ?1
ORDER BY o.number
LIMIT ?2;
