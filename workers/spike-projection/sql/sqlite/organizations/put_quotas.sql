-- Organizations::import, step 4: sets quotas, for 30 days.
--
-- ?1 JSON [{id, category, quota, ..}, ..]. A row without a quota changes nothing.
INSERT INTO quotas (organization, category, quota)
SELECT o.number, r.value ->> 'category', r.value ->> 'quota'
FROM json_each(?1) r
JOIN organizations o ON o.id = r.value ->> 'id'
WHERE r.value ->> 'quota' IS NOT NULL
ON CONFLICT (organization, category) DO UPDATE SET quota = excluded.quota;
