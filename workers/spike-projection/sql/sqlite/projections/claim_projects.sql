-- Projections::replace_projects, step 1: finds the organization, unless a newer projection of it is stored.
--
-- Takes the parameters of projections/claim. Returns the organization's number, or no row if it is unknown or
-- superseded. A stored projection keeps its generation and fence, because they tell when all projects were
-- last replaced. A missing one is created with fence 0, so that any run for the same hour still replaces it.
INSERT INTO projected (organization, generation, fence, method, look_back, version, computed_at, stale)
SELECT number, ?2, 0, ?4, ?5, ?6, ?7, NULL FROM organizations WHERE id = ?1
ON CONFLICT (organization) DO UPDATE SET computed_at = computed_at
WHERE excluded.generation > generation OR (excluded.generation = generation AND ?3 >= fence)
RETURNING organization;
