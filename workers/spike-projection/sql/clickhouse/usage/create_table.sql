-- Table::create: creates the table {table} of hourly usage if it does not exist.
--
-- When the server merges parts, it adds up rows with the same key. So every column that distinguishes rows is
-- in the key, and readers sum rows that are not merged yet. times_seen is never zero: a merge would drop a
-- row of zeros, and with it the fact that its hour is known.
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
