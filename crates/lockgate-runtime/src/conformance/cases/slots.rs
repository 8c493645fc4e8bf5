//! The list of the slot cases, included by the list of all cases.

/// Creates a test for each slot case.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_slots {
    ($fixture:ident $flavour:tt) => {
        mod slots {
            mod recommendations {
                $crate::conformance_suite!(@tests $crate::conformance::slots::recommendations, super::super::$fixture, $flavour, [
                    enforced_recommendation_limits_grants,
                    unenforced_recommendation_is_only_shown,
                    removed_recommendation_restores_slots,
                    recommendation_never_raises_slots,
                    recommendation_for_older_version_is_refused,
                    request_above_recommendation_waits,
                ]);
            }
            mod long_queues {
                $crate::conformance_suite!(@tests $crate::conformance::slots::long_queues, super::super::$fixture, $flavour, [
                    waiter_behind_many_ineligible_heads_is_granted,
                    many_tenants_are_served_in_order_of_arrival,
                    tenant_without_slots_precedes_many_that_hold_some,
                ]);
            }
            mod granting {
                $crate::conformance_suite!(@tests $crate::conformance::slots::granting, super::super::$fixture, $flavour, [
                    slots_are_granted_up_to_the_limit,
                    a_heavy_lease_takes_its_weight,
                    two_pools_are_taken_all_or_none,
                    two_pools_in_opposite_order_do_not_deadlock,
                    waiter_for_one_pool_does_not_block_other_pools,
                    a_pool_named_twice_counts_twice,
                    many_requests_in_one_call_are_answered_in_order,
                    impossible_request_is_refused_at_once,
                    a_tenants_refusal_does_not_charge_the_pool,
                    a_release_hands_the_slot_to_the_next_waiter,
                    a_grant_is_pushed_to_the_waiter,
                    release_notifies_one_waiter,
                    heartbeat_repeats_lost_notification,
                    a_drained_release_keeps_its_slots_until_the_end_is_confirmed,
                    a_closed_pool_queues_and_opens_again,
                ]);
            }
            mod batched_calls {
                $crate::conformance_suite!(@tests $crate::conformance::slots::batched_calls, super::super::$fixture, $flavour, [
                    requests_of_one_call_count_those_before_them,
                    each_release_of_a_call_updates_average_hold_time,
                    a_request_that_a_later_one_lets_in_is_answered_as_granted,
                ]);
            }
            mod stranded_waiters {
                $crate::conformance_suite!(@tests $crate::conformance::slots::stranded_waiters, super::super::$fixture, $flavour, [
                    temporarily_too_heavy_request_is_not_refused_permanently,
                    stranded_waiter_blocks_nobody,
                    stranded_waiter_keeps_its_ticket,
                    a_lowered_cap_strands_only_what_is_heavier,
                    stranded_waiter_that_leaves_gets_the_reason,
                    recommendation_strands_but_refuses_nobody,
                    a_stranded_waiter_keeps_no_other_pool,
                    a_waiter_behind_many_stranded_ones_is_granted,
                ]);
            }
            mod store_loss {
                $crate::conformance_suite!(@tests $crate::conformance::slots::store_loss, super::super::$fixture, $flavour, [
                    new_store_grants_at_once,
                    after_a_loss_holders_register_again_and_nobody_else_is_granted,
                    nothing_is_granted_during_recovery,
                    waiters_rejoin_queue_after_loss,
                    a_returning_holder_is_before_a_waiter_for_the_same_job,
                    registered_again_above_the_limit_grants_nothing_until_it_is_below,
                    fences_grow_beyond_those_that_were_registered_again,
                ]);
            }
            mod max_wait {
                $crate::conformance_suite!(@tests $crate::conformance::slots::max_wait, super::super::$fixture, $flavour, [
                    request_with_long_max_wait_is_never_refused_for_busy_pool,
                    request_that_would_wait_too_long_is_refused_at_once,
                ]);
            }
            mod order {
                $crate::conformance_suite!(@tests $crate::conformance::slots::order, super::super::$fixture, $flavour, [
                    first_come_first_served_among_equals,
                    repeated_request_keeps_its_ticket,
                    a_tenant_with_many_waiters_does_not_stop_another,
                    tenants_share_by_their_weights,
                    a_tenant_never_holds_more_than_its_cap,
                    light_waiter_does_not_overtake_heavy_one,
                    an_arrival_never_overtakes_an_eligible_waiter,
                    a_waiter_behind_another_tenants_ineligible_head_is_granted,
                    an_arrival_that_must_wait_may_let_another_in,
                    an_arrival_that_is_granted_may_let_another_in,
                    a_lifted_cap_grants_at_once,
                    waiters_are_granted_when_heavy_head_leaves,
                    waiters_are_granted_when_process_of_head_closes,
                    tenant_queue_keeps_its_order_at_cap,
                    raised_slots_grant_in_queue_order,
                ]);
            }
            mod ownership {
                $crate::conformance_suite!(@tests $crate::conformance::slots::ownership, super::super::$fixture, $flavour, [
                    fences_grow_with_each_grant,
                    the_same_request_again_is_the_same_lease,
                    a_lease_that_is_held_is_refused_to_another_process,
                    a_lease_that_another_process_waits_for_is_refused,
                    a_lease_without_slots_has_one_holder_too,
                    a_lease_that_drains_is_refused_to_everybody,
                    a_release_with_another_fence_changes_nothing,
                    another_process_does_not_end_a_hold,
                    a_late_release_changes_nothing,
                    a_waiter_that_leaves_is_gone,
                    a_waiter_that_was_granted_meanwhile_is_told_so,
                    a_heartbeat_that_names_what_it_holds_brings_nothing_new,
                    a_lease_that_the_store_does_not_have_is_lost,
                ]);
            }
            mod pauses {
                $crate::conformance_suite!(@tests $crate::conformance::slots::pauses, super::super::$fixture, $flavour, [
                    a_paused_pool_grants_nothing_and_takes_nothing_away,
                    waiters_are_granted_when_the_pause_ends,
                    a_paused_pool_is_not_paused_again,
                    a_pause_has_a_bound,
                    a_paused_pool_holds_up_only_those_who_want_it,
                    a_pause_decided_on_an_older_version_is_refused,
                    slots_of_the_dead_come_back_to_a_paused_pool,
                ]);
            }
            mod pools {
                $crate::conformance_suite!(@tests $crate::conformance::slots::pools, super::super::$fixture, $flavour, [
                    ensuring_a_pool_never_reverts_it,
                    the_end_of_a_ramp_restores_the_slots_that_were_set,
                    a_change_decided_on_an_older_version_is_refused,
                    a_change_leaves_the_rest_as_it_was,
                    a_tenants_share_is_changed_shown_and_removed,
                    a_pool_that_is_not_there_is_not_found,
                    a_lowered_limit_cancels_nothing_and_grants_nothing_until_it_is_below,
                    a_raised_limit_grants_at_once,
                    a_reset_asks_holders_to_stop_and_frees_nothing,
                    the_peak_is_kept_until_a_reset,
                    reading_a_pool_shows_its_holders,
                ]);
            }
            mod history {
                $crate::conformance_suite!(@tests $crate::conformance::slots::history, super::super::$fixture, $flavour, [
                    ended_hold_is_in_history,
                    lease_of_two_pools_is_in_both_histories,
                    history_shows_how_a_hold_ended,
                    holds_of_dead_process_are_in_history,
                    slot_changes_are_in_history,
                    audit_shows_true_overlap,
                    long_history_is_read_in_pages,
                    history_restarts_after_loss,
                ]);
            }
            mod sessions {
                $crate::conformance_suite!(@tests $crate::conformance::slots::sessions, super::super::$fixture, $flavour, [
                    a_dead_process_loses_its_slots_after_the_ttl_and_not_before,
                    dead_process_leaves_the_queue,
                    a_slow_but_live_holder_is_never_reclaimed,
                    a_lease_does_not_end_before_its_first_renewal,
                    clock_jump_expires_no_session,
                    closed_session_releases_slots_at_once,
                    slots_with_possible_backend_work_drain_before_they_are_free,
                    slots_of_dead_process_drain_after_ttl,
                    a_process_that_comes_back_has_lost_its_leases,
                    a_process_that_comes_back_while_its_lease_drains_has_lost_it,
                    the_end_of_one_session_leaves_others_alone,
                ]);
            }
        }
    };
}
