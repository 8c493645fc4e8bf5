-- Lost messages are recovered per queue. The new indexes find the published jobs of one run, so that a
-- recovery does not read runs of other queues.

drop index jobs_with_the_broker;
create index jobs_with_the_broker on jobs (run, updated_at) where state = 'enqueued' and started = 0;
create index runs_by_queue on runs (queue);
