-- Organizations::import, step 5: removes the quotas of rows with `lift`, which makes the categories
-- unlimited.
--
-- ?1 JSON [{id, category, lift, ..}, ..].
DELETE FROM quotas
WHERE (organization, category) IN (
    SELECT o.number, r.value ->> 'category'
    FROM json_each(?1) r
    JOIN organizations o ON o.id = r.value ->> 'id'
    WHERE r.value ->> 'lift'
);
