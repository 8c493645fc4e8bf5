-- Organizations::import and HourlyUsage::import, first: one import at a time, until the transaction ends. Imports name
-- the same rows in any order; two at once could wait for each other in a circle.
SELECT pg_advisory_xact_lock(hashtextextended('spike-projection import', 0));
