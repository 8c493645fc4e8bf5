-- Renames columns to the terms of the glossary: recommendation, token batch.

alter table pools rename column advice to recommended_slots;
alter table pools rename column advice_enforced to recommendation_enforced;
alter table pools rename column advice_why to recommendation_reason;
alter table pools rename column advised_at to recommended_at;
alter table rates rename column next_chunk to next_batch;
alter table rates rename column out to outstanding;
