-- Returns the stored projections as text, one row per series, in order. The text equals that of the embedded
-- engine's tables. Sums stand for the 168 rows of a series.
SELECT lines.line FROM (
    SELECT concat(
        organizations.id, '/', projects.id, '/', projected_series.category, ': ',
        projected.generation, ' ', projected.method, ' ', coalesce(projected.stale, 'fresh'), ', ',
        count(*), ' hours from ', min(projected_hours.hour), ' to ', max(projected_hours.hour),
        ', expected ', to_char(sum(projected_hours.expected), 'FM9999999999999990.000'),
        ', limits ', sum(projected_hours.spike_limit), ', reasons ', sum(projected_hours.reason)
    ) AS line
    FROM projected
    JOIN organizations ON organizations.number = projected.organization
    JOIN projected_series ON projected_series.organization = projected.organization
    JOIN projects ON projects.number = projected_series.project
    JOIN projected_hours ON projected_hours.series = projected_series.number
    GROUP BY projected_series.number, organizations.id, projects.id, projected_series.category,
        projected.generation, projected.method, projected.stale
) AS lines
ORDER BY lines.line COLLATE "C";
