-- Projections::replace, step 2: removes the series that the new projection does not have, with their hours.
--
-- $1 organization number; $2 JSON [[project id, category, floor, multiplier, samples, ..], ..]; $3 JSON array
-- of the ids of the projects to replace, or NULL for all projects.
-- Keeps: a series without a projection (a disabled project, a trial, an unlimited category) has no rows.
DELETE FROM projected_series s
WHERE s.organization = $1
  AND NOT EXISTS (
      SELECT 1
      FROM jsonb_array_elements($2::jsonb) r
      JOIN projects p ON p.id = r ->> 0
      WHERE p.number = s.project AND (r ->> 1)::smallint = s.category
  )
  AND ($3::jsonb IS NULL OR EXISTS (
      SELECT 1
      FROM jsonb_array_elements_text($3::jsonb) AS listed (id)
      JOIN projects p ON p.id = listed.id
      WHERE p.number = s.project
  ));
