-- Gives the statements of this transaction $1 (ms) each.
select set_config('statement_timeout', $1::bigint::text, true)
