-- Which file the database was when it was last opened: boot, file. No row: it is new.
select boot, file from database_file where one = 1
