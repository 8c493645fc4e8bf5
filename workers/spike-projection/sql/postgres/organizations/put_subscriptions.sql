-- Organizations::import, step 2: sets which organizations have an active subscription.
--
-- $1 JSON [{id, subscribed, ..}, ..]. If several rows are for the same organization, the last one is used.
INSERT INTO subscriptions (organization, active)
SELECT DISTINCT ON (o.number) o.number, (r ->> 'subscribed')::boolean
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS rows (r, n)
JOIN organizations o ON o.id = r ->> 'id'
ORDER BY o.number, n DESC
ON CONFLICT (organization) DO UPDATE SET active = excluded.active;
