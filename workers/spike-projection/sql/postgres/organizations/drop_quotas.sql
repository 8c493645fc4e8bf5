-- Organizations::import, step 5: lifts the quotas of rows that say so: unlimited.
--
-- $1 JSON [{id, category, lift, ..}, ..].
DELETE FROM quotas q
USING jsonb_array_elements($1::jsonb) r, organizations o
WHERE o.id = r ->> 'id'
  AND (r ->> 'lift')::boolean
  AND q.organization = o.number
  AND q.category = (r ->> 'category')::smallint;
