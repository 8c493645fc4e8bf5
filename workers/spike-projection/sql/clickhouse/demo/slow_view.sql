-- Table::create_slow: creates a view of {table} that simulates a busy server: each query takes {milliseconds}
-- ms longer. A scalar subquery is evaluated once per query; directly in WHERE, the server would sleep for
-- each block.
CREATE VIEW {view} AS SELECT * FROM {table} WHERE (SELECT sleep({milliseconds} / 1000)) = 0
