-- Table::create: makes the table {table} when it is not there: hourly usage, rolled up.
--
-- The server adds up rows of the same key when it merges parts, so every column that tells rows apart is in the key,
-- and whoever reads sums what was not merged yet. times_seen is never zero: a row of zeros would be dropped in a merge,
-- and with it the knowledge that its hour is known.
CREATE TABLE IF NOT EXISTS {table} (
    org_id UInt64,
    project_id UInt64,
    timestamp DateTime,
    outcome UInt8,
    reason String,
    category UInt8,
    quantity UInt64,
    times_seen UInt64
)
ENGINE = SummingMergeTree((quantity, times_seen))
PARTITION BY toYYYYMM(timestamp)
ORDER BY (org_id, project_id, category, outcome, reason, timestamp)
