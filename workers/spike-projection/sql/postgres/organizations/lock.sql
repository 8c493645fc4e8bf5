-- Organizations::import and HourlyUsage::import, first statement: allows one import at a time, until the
-- transaction ends. Imports write the same rows in any order, so two concurrent imports could deadlock.
SELECT pg_advisory_xact_lock(hashtextextended('spike-projection import', 0));
