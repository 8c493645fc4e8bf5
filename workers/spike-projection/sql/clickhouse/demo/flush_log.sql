-- QueryCounter::finished, step 1: flushes the server's query log, which it otherwise writes every few
-- seconds.
SYSTEM FLUSH LOGS
