-- Organizations::import, step 1: makes or changes organizations.
--
-- ?1 JSON [{id, slug, active, trial, ..}, ..]; of several rows of one organization the last holds.
INSERT INTO organizations (id, slug, active, trial)
SELECT r.value ->> 'id', r.value ->> 'slug', r.value ->> 'active', r.value ->> 'trial'
FROM json_each(?1) r
WHERE TRUE
ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, active = excluded.active, trial = excluded.trial;
