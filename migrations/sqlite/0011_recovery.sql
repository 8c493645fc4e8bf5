-- Lost messages are recovered queue by queue. The index leads to the published jobs of one run, so that a recovery reads
-- nothing of the runs of other queues.

drop index jobs_with_the_broker;
create index jobs_with_the_broker on jobs (run, updated_at) where state = 'enqueued' and started = 0;
create index runs_by_queue on runs (queue);
