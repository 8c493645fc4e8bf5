-- Makes the schema of all our tables, in the database that the connection is for.
create schema lockgate
