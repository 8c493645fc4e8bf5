-- Projections::replace, step 2: removes the series that the new projection lacks, with their hours.
--
-- ?1 organization number; ?2 JSON [[project id, category, floor, multiplier, samples, ..], ..].
-- Keeps: what has no projection any more (a disabled project, a trial, an unlimited category) has no rows.
DELETE FROM projected_series
WHERE organization = ?1
  AND (project, category) NOT IN (
      SELECT p.number, r.value ->> 1 FROM json_each(?2) r JOIN projects p ON p.id = r.value ->> 0
  );
