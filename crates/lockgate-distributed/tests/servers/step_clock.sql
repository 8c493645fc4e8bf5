-- Replaces the server's clock, as the ledger reads it, by one that is {seconds} off.
create or replace function lockgate.wall_now() returns bigint
language sql stable
as $$ select floor(extract(epoch from now()) * 1000)::bigint + {seconds} * 1000 $$
