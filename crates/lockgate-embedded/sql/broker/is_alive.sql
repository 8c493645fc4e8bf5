-- Returns whether a consumer still exists: one row, 1 or 0.
-- ?1 number of the consumer.
select exists (select 1 from consumers where number = ?1)
