-- Prepares this transaction for statements that read many rows: a timeout of $1 (ms) each, a plan of their
-- own, and every access path, since stepping through an index would be slower. Materializing is off: the
-- planner assumes few rows in tables that nobody has analyzed yet, and would read a materialized table once
-- more for each row of another (5,000 jobs: 4 s instead of 10 ms).
select set_config('statement_timeout', $1::bigint::text, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true),
    set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
    set_config('enable_material', 'off', true),
    set_config('random_page_cost', '1.1', true)
