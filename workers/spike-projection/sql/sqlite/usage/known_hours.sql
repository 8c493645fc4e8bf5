-- SqlSource::hourly: the known hours from ?1 to before ?2, in order.
SELECT hour FROM known_hours WHERE hour >= ?1 AND hour < ?2 ORDER BY hour;
