-- Organizations::active_after: returns number and id of up to ?2 active organizations with an active
-- subscription, after the one with number ?1. Callers read page by page, so memory does not depend on the
-- number of organizations.
SELECT o.number, o.id
FROM organizations o
JOIN subscriptions s ON s.organization = o.number AND s.active
WHERE o.active AND o.number > ?1
ORDER BY o.number
LIMIT ?2;
