-- Projections::replace_projects, step 1: finds the organization, unless a newer projection of it is stored.
--
-- The parameters of projections/claim. Returns the organization's number; no row when it is unknown or superseded.
-- A projection that is there keeps its generation and fence: it tells when all projects were last replaced. One that is
-- missing is created with fence 0, so that any run for the same hour still replaces it. Two at once: the second waits
-- for the first, and is judged by what that left.
INSERT INTO projected (organization, generation, fence, method, look_back, version, computed_at, stale)
SELECT number, $2, 0, $4, $5, $6, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL
FROM organizations
WHERE id = $1
ON CONFLICT (organization) DO UPDATE SET computed_at = projected.computed_at
WHERE excluded.generation > projected.generation
   OR (excluded.generation = projected.generation AND $3::bigint >= projected.fence)
RETURNING organization;
