-- SqlSource::hourly: returns the known hours from $1 up to, but not including, $2, in order.
SELECT hour::bigint AS hour FROM known_hours WHERE hour >= $1 AND hour < $2 ORDER BY hour;
