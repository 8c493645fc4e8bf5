-- Projections::replace, step 1: makes this projection the current one of the organization, unless a newer one
-- is stored.
--
-- ?1 organization id; ?2 generation, an hour; ?3 fence; ?4 method; ?5 hours of look-back; ?6 algorithm
-- version; ?7 now, milliseconds. Returns the organization's number, or no row if it is unknown or a newer
-- projection is stored.
-- Keeps: a newer generation wins, and within a generation an older fence changes nothing.
INSERT INTO projected (organization, generation, fence, method, look_back, version, computed_at, stale)
SELECT number, ?2, ?3, ?4, ?5, ?6, ?7, NULL FROM organizations WHERE id = ?1
ON CONFLICT (organization) DO UPDATE SET
    generation = excluded.generation,
    fence = excluded.fence,
    method = excluded.method,
    look_back = excluded.look_back,
    version = excluded.version,
    computed_at = excluded.computed_at,
    stale = NULL
WHERE excluded.generation > generation OR (excluded.generation = generation AND excluded.fence >= fence)
RETURNING organization;
