-- Organizations::import, step 3: creates or changes projects. Rows without a project are ignored.
--
-- ?1 JSON [{id, project: {id, active, created}, ..}, ..]. A project that is listed under another organization
-- moves there with its usage.
INSERT INTO projects (id, organization, active, created)
SELECT r.value ->> '$.project.id', o.number, r.value ->> '$.project.active', r.value ->> '$.project.created'
FROM json_each(?1) r
JOIN organizations o ON o.id = r.value ->> 'id'
WHERE r.value ->> 'project' IS NOT NULL
ON CONFLICT (id) DO UPDATE SET
    organization = excluded.organization,
    active = excluded.active,
    created = coalesce(excluded.created, created);
