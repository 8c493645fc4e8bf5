-- Organizations::find: returns the organization with id $1, its projects and quotas as JSON arrays
-- [[id, active, created], ..] and [[category, quota], ..]. Returns no row if there is none.
SELECT o.trial,
       (SELECT coalesce(json_agg(json_build_array(p.id, p.active::integer, p.created) ORDER BY p.number), '[]')::text
        FROM projects p WHERE p.organization = o.number) AS projects,
       (SELECT coalesce(json_agg(json_build_array(q.category, q.quota)), '[]')::text
        FROM quotas q WHERE q.organization = o.number) AS quotas
FROM organizations o
WHERE o.id = $1;
