-- Returns one row about the server: `version` (150012 is 15.12), `encoding` of the database, and `now` (ms
-- since 1970).
select current_setting('server_version_num')::integer as version, current_setting('server_encoding') as encoding,
    floor(extract(epoch from clock_timestamp()) * 1000)::bigint as now
