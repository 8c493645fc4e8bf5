-- Organizations::list: returns up to $2 organizations after the one with number $1, in the order of their
-- import.
SELECT o.number, o.id, o.slug, o.active, o.trial, coalesce(s.active, FALSE) AS subscribed,
       (SELECT count(*) FROM projects p WHERE p.organization = o.number AND p.active) AS projects,
       (SELECT coalesce(json_object_agg(CASE q.category WHEN 1 THEN 'errors' WHEN 2 THEN 'transactions'
                                        ELSE 'attachments' END, q.quota), '{}')::text
        FROM quotas q WHERE q.organization = o.number) AS quotas,
       d.generation::bigint AS generation
FROM organizations o
LEFT JOIN subscriptions s ON s.organization = o.number
LEFT JOIN projected d ON d.organization = o.number
WHERE o.number > $1
ORDER BY o.number
LIMIT $2;
