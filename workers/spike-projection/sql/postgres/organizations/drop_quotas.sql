-- Organizations::import, step 5: removes the quotas of rows with `lift`, which makes the categories
-- unlimited.
--
-- $1 JSON [{id, category, lift, ..}, ..].
DELETE FROM quotas q
USING jsonb_array_elements($1::jsonb) r, organizations o
WHERE o.id = r ->> 'id'
  AND (r ->> 'lift')::boolean
  AND q.organization = o.number
  AND q.category = (r ->> 'category')::smallint;
