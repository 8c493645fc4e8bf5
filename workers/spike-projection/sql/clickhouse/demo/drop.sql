-- Table::drop: drops the table, or view, {table}.
DROP TABLE IF EXISTS {table}
