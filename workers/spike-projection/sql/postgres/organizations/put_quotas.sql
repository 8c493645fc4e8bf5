-- Organizations::import, step 4: sets quotas, for 30 days.
--
-- $1 JSON [{id, category, quota, ..}, ..]. A row without a quota changes nothing. If several rows are for the
-- same quota, the last one is used.
INSERT INTO quotas (organization, category, quota)
SELECT DISTINCT ON (o.number, (r ->> 'category')::smallint)
       o.number, (r ->> 'category')::smallint, (r ->> 'quota')::bigint
FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS rows (r, n)
JOIN organizations o ON o.id = r ->> 'id'
WHERE r ->> 'quota' IS NOT NULL
ORDER BY o.number, (r ->> 'category')::smallint, n DESC
ON CONFLICT (organization, category) DO UPDATE SET quota = excluded.quota;
