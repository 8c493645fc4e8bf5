-- Counts consecutive deferrals of a job, which set the backoff of the next one. `deferrals` counts all of
-- them.

alter table standings add column deferrals_in_row integer not null default 0;
