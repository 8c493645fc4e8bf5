-- The record of pool ?1 behind row ?2, up to row ?3.
select at, number, lease, fence, weight, ended, from_slots, to_slots
from record where serial > ?2 and serial <= ?3 and pool = ?1 order by serial
