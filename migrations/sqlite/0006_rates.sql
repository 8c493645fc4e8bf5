-- Limits of rate that all processes on the file share. Times are nanoseconds since the host was started; a row of another
-- start begins again, empty. `out` holds the chunks that processes have: [[number, tokens, end], ..], as many as there are
-- processes that draw.
create table rates (
    name       text primary key,
    boot       text not null,
    rate       text not null,
    burst      integer not null,
    anchor     integer not null,
    issued     integer not null,
    next_chunk integer not null,
    out        text not null,
    version    integer not null,
    note       text not null
) strict, without rowid;
