-- Organizations::import, step 3: creates or changes projects. Rows without a project are ignored.
--
-- $1 JSON [{id, project: {id, active, created}, ..}, ..]. A project that is listed under another organization
-- moves there with its usage. If several rows are for the same project, the last one is used, and the last
-- `created` that is given.
WITH given AS (
    SELECT r #>> '{project,id}' AS id,
           (array_agg(r ->> 'id' ORDER BY n DESC))[1] AS organization,
           (array_agg((r #>> '{project,active}')::boolean ORDER BY n DESC))[1] AS active,
           (array_agg((r #>> '{project,created}')::bigint ORDER BY n DESC)
               FILTER (WHERE r #>> '{project,created}' IS NOT NULL))[1] AS created,
           min(n) AS first
    FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS rows (r, n)
    WHERE r #>> '{project,id}' IS NOT NULL
    GROUP BY 1
)
INSERT INTO projects (id, organization, active, created)
SELECT g.id, o.number, g.active, g.created
FROM given g
JOIN organizations o ON o.id = g.organization
ORDER BY g.first
ON CONFLICT (id) DO UPDATE SET
    organization = excluded.organization,
    active = excluded.active,
    created = coalesce(excluded.created, projects.created);
