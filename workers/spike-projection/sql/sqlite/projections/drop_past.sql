-- Projections::replace, step 5: removes the hours before ?2 of the organization with number ?1.
--
-- Keeps: the table has one week for each series, however often it is projected.
DELETE FROM projected_hours
WHERE series IN (SELECT number FROM projected_series WHERE organization = ?1) AND hour < ?2;
