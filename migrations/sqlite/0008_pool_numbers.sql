-- Adds the configured numbers of a pool, and the slots of its current ramp step.

alter table pools add column configured_slots integer not null default 0;
alter table pools add column configured_per_tenant integer;
alter table pools add column ramp integer;   -- slots; null: no ramp
update pools set configured_slots = slots, configured_per_tenant = per_tenant;
