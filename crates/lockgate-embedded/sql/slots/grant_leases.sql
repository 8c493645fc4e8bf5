-- Turns granted waiters into leases. Their sessions receive a notification (from_line = 1).
-- ?1 JSON array of {ticket, fence}, ?2 now (virtual ms).
insert into leases (id, session, process, request, fence, granted_at, drain_for, from_line)
select w.id, w.session, coalesce(s.process, ''), w.request, x.value ->> 'fence', ?2, w.drain_for, 1
from json_each(?1) x cross join waiters w on w.ticket = x.value ->> 'ticket'
left join sessions s on s.id = w.session
