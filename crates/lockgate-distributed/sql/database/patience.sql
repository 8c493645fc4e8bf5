-- Gives the statements of this transaction $1 (ms) each, a plan of their own, and every way to read a table: they go
-- through many rows, not from one to the next by an index. Without keeping rows to go through all of them once more for each
-- other: of tables that nobody has analyzed yet the planner believes that there are few (5,000 jobs: 4 s instead of 10 ms).
select set_config('statement_timeout', $1::bigint::text, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
    set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
    set_config('enable_material', 'off', true),
    set_config('random_page_cost', '1.1', true)
