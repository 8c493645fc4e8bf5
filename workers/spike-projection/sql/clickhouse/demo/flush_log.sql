-- Count::logged, step 1: the server writes what it has logged. By itself it does so every few seconds.
SYSTEM FLUSH LOGS
