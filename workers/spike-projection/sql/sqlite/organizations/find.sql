-- Organizations::find: returns the organization with id ?1, its projects and quotas as JSON arrays
-- [[id, active, created], ..] and [[category, quota], ..]. Returns no row if there is none.
SELECT o.trial,
       (SELECT json_group_array(json_array(p.id, p.active, p.created))
        FROM projects p WHERE p.organization = o.number) AS projects,
       (SELECT json_group_array(json_array(q.category, q.quota))
        FROM quotas q WHERE q.organization = o.number) AS quotas
FROM organizations o
WHERE o.id = ?1;
