-- Creates the schema of all tables of Lockgate, in the database of the connection.
create schema lockgate
