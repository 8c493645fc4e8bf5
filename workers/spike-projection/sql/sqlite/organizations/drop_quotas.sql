-- Organizations::import, step 5: lifts the quotas of rows that say so: unlimited.
--
-- ?1 JSON [{id, category, lift, ..}, ..].
DELETE FROM quotas
WHERE (organization, category) IN (
    SELECT o.number, r.value ->> 'category'
    FROM json_each(?1) r
    JOIN organizations o ON o.id = r.value ->> 'id'
    WHERE r.value ->> 'lift'
);
