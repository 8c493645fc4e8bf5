-- Organizations::import, step 4: sets the quotas that rows name.
--
-- ?1 JSON [{id, category, quota, ..}, ..], 30 days; a row without one changes none.
INSERT INTO quotas (organization, category, quota)
SELECT o.number, r.value ->> 'category', r.value ->> 'quota'
FROM json_each(?1) r
JOIN organizations o ON o.id = r.value ->> 'id'
WHERE r.value ->> 'quota' IS NOT NULL
ON CONFLICT (organization, category) DO UPDATE SET quota = excluded.quota;
