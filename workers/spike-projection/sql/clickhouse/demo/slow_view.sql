-- Table::create_slow: the table {table} as it would be on a server with more to do: each query takes {milliseconds} ms
-- longer. A scalar subquery is worked out once a query; in the WHERE itself the server would sleep for each block.
CREATE VIEW {view} AS SELECT * FROM {table} WHERE (SELECT sleep({milliseconds} / 1000)) = 0
