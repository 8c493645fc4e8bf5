-- Deferrals of a job in a row. They set the backoff of its next deferral; `deferrals` counts all of them.

alter table standings add column deferrals_in_row integer not null default 0;
