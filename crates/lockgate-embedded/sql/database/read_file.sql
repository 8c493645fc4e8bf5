-- Returns the boot and the file identity recorded when the database was last opened. No row: it is new.
select boot, file from database_file where one = 1
