-- Projections::replace, step 5: removes the hours before $2 of the organization with number $1.
--
-- Keeps: the table has one week for each series, however often it is projected.
DELETE FROM projected_hours h
USING projected_series s
WHERE s.organization = $1 AND h.series = s.number AND h.hour < $2;
