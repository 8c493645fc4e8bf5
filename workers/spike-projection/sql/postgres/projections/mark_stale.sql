-- Projections::mark_stale: records that the run for hour $2 could not replace the projection of organization
-- $1, and why ($3). Changes nothing if there is no projection, or one of that hour or later.
UPDATE projected SET stale = $3
WHERE organization = (SELECT number FROM organizations WHERE id = $1) AND generation < $2;
