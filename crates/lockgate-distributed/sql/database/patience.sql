-- Gives the statements of this transaction $1 (ms) each, a plan of their own, and every way to read a table: they go
-- through many rows, not from one to the next by an index.
select set_config('statement_timeout', $1::bigint::text, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
    set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
    set_config('random_page_cost', '1.1', true)
