-- Organizations::import, step 1: creates or changes organizations, in the order of their first rows.
--
-- $1 JSON [{id, slug, active, trial, ..}, ..]. If several rows are for the same organization, the last one is
-- used.
WITH given AS (
    SELECT DISTINCT ON (r ->> 'id')
           r ->> 'id' AS id, r ->> 'slug' AS slug, (r ->> 'active')::boolean AS active,
           (r ->> 'trial')::boolean AS trial, min(n) OVER (PARTITION BY r ->> 'id') AS first
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS rows (r, n)
    ORDER BY r ->> 'id', n DESC
)
INSERT INTO organizations (id, slug, active, trial)
SELECT id, slug, active, trial FROM given ORDER BY first
ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, active = excluded.active, trial = excluded.trial;
