-- Organizations::import, step 1: creates or changes organizations.
--
-- ?1 JSON [{id, slug, active, trial, ..}, ..]. If several rows are for the same organization, the last one is
-- used.
INSERT INTO organizations (id, slug, active, trial)
SELECT r.value ->> 'id', r.value ->> 'slug', r.value ->> 'active', r.value ->> 'trial'
FROM json_each(?1) r
WHERE TRUE
ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, active = excluded.active, trial = excluded.trial;
