-- Projections::replace, step 2: removes the series that the new projection does not have, with their hours.
--
-- ?1 organization number; ?2 JSON [[project id, category, floor, multiplier, samples, ..], ..]; ?3 JSON array
-- of the ids of the projects to replace, or NULL for all projects.
-- Keeps: a series without a projection (a disabled project, a trial, an unlimited category) has no rows.
DELETE FROM projected_series
WHERE organization = ?1
  AND (project, category) NOT IN (
      SELECT p.number, r.value ->> 1 FROM json_each(?2) r JOIN projects p ON p.id = r.value ->> 0
  )
  AND (?3 IS NULL OR project IN (SELECT p.number FROM json_each(?3) r JOIN projects p ON p.id = r.value));
