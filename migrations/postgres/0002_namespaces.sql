-- Namespaces of slots and queues that have been used with this ledger. A slot store that is empty in a namespace that stands
-- here has lost its state; in one that does not, it is new.

create table namespaces (
    name text primary key,
    founded_at bigint not null   -- ms since 1970
);
