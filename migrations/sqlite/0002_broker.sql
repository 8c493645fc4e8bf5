-- The broker: messages on their way to workers, and the clock that counts for the broker and the slots.

-- One row. A virtual clock: it advances with the host's uptime, by a bounded step, and never goes back.
create table clock (
    one integer primary key check (one = 1),
    now integer not null,       -- virtual ms
    uptime integer not null,    -- ms since the start of the host, when it was last read
    boot text not null          -- which start of the host
) strict;
insert into clock (one, now, uptime, boot) values (1, 0, 0, '');

create table consumers (
    number integer primary key autoincrement,
    deadline integer not null   -- virtual ms: without a heartbeat by then it is dead
) strict;

create table messages (
    number integer primary key autoincrement,
    queue text not null,
    envelope text not null,     -- JSON
    consumer integer,           -- who has it; null: ready
    deliveries integer not null default 0
) strict;

create index messages_ready on messages (queue, number) where consumer is null;
create index messages_taken on messages (consumer, queue) where consumer is not null;

create table dead_letters (
    number integer primary key,
    queue text not null,
    envelope text not null,
    reason text not null,
    died_at integer not null    -- ms since 1970
) strict;

create index dead_letters_by_queue on dead_letters (queue);
