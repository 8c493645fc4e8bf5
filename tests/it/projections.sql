-- Returns the stored projections as text, one row per series, in order, without fence and time, which differ
-- between executions. Sums stand for the 168 rows of a series.
SELECT printf(
    '%s/%s/%d: %d %s %s, %d hours from %d to %d, expected %.3f, limits %d, reasons %d',
    organizations.id, projects.id, projected_series.category,
    projected.generation, projected.method, ifnull(projected.stale, 'fresh'),
    count(*), min(projected_hours.hour), max(projected_hours.hour),
    sum(projected_hours.expected), sum(projected_hours.spike_limit), sum(projected_hours.reason)
) AS line
FROM projected
JOIN organizations ON organizations.number = projected.organization
JOIN projected_series ON projected_series.organization = projected.organization
JOIN projects ON projects.number = projected_series.project
JOIN projected_hours ON projected_hours.series = projected_series.number
GROUP BY projected_series.number
ORDER BY line;
