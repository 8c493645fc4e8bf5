-- Projections::replace_projects, step 1: finds the organization, unless a newer projection of it is stored.
--
-- Takes the parameters of projections/claim. Returns the organization's number, or no row if it is unknown or
-- superseded. A stored projection keeps its generation and fence, because they tell when all projects were
-- last replaced. A missing one is created with fence 0, so that any run for the same hour still replaces it.
-- Of two concurrent calls, the second waits for the first and is compared with its result.
INSERT INTO projected (organization, generation, fence, method, look_back, version, computed_at, stale)
SELECT number, $2, 0, $4, $5, $6, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, NULL
FROM organizations
WHERE id = $1
ON CONFLICT (organization) DO UPDATE SET computed_at = projected.computed_at
WHERE excluded.generation > projected.generation
   OR (excluded.generation = projected.generation AND $3::bigint >= projected.fence)
RETURNING organization;
