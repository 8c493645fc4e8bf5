-- Returns the last fence or stop order that was issued. One row; 0 when the state is lost.
select coalesce((select number from slot_store where one = 1), 0)
