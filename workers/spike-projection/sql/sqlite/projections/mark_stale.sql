-- Projections::mark_stale: says of the projection of organization ?1 that the run for hour ?2 could not replace it,
-- and why (?3). Changes nothing when there is none, or one of that hour or a later one.
UPDATE projected SET stale = ?3
WHERE organization = (SELECT number FROM organizations WHERE id = ?1) AND generation < ?2;
