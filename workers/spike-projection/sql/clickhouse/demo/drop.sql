-- Table::drop: the table {table}, or a view of this name, and all that is in it.
DROP TABLE IF EXISTS {table}
