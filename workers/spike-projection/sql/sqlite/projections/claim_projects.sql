-- Projections::replace_projects, step 1: finds the organization, unless a newer projection of it is stored.
--
-- The parameters of projections/claim. Returns the organization's number; no row when it is unknown or superseded.
-- A projection that is there keeps its generation and fence: it tells when all projects were last replaced. One that is
-- missing is created with fence 0, so that any run for the same hour still replaces it.
INSERT INTO projected (organization, generation, fence, method, look_back, version, computed_at, stale)
SELECT number, ?2, 0, ?4, ?5, ?6, ?7, NULL FROM organizations WHERE id = ?1
ON CONFLICT (organization) DO UPDATE SET computed_at = computed_at
WHERE excluded.generation > generation OR (excluded.generation = generation AND ?3 >= fence)
RETURNING organization;
