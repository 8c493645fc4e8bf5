-- Organizations::import, step 2: sets which organizations have an active subscription.
--
-- ?1 JSON [{id, subscribed, ..}, ..].
INSERT INTO subscriptions (organization, active)
SELECT o.number, r.value ->> 'subscribed'
FROM json_each(?1) r
JOIN organizations o ON o.id = r.value ->> 'id'
WHERE TRUE
ON CONFLICT (organization) DO UPDATE SET active = excluded.active;
