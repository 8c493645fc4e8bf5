//! The list of the cases of the slots; see the list of all.

/// Makes a test of each case of the slots.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_slots {
    ($fixture:ident $flavour:tt) => {
        mod slots {
            mod advising {
                $crate::conformance_suite!(@tests $crate::conformance::slots::advising, super::super::$fixture, $flavour, [
                    an_enforced_advice_is_obeyed_by_grants,
                    an_advice_that_is_not_enforced_is_only_shown,
                    an_advice_that_is_taken_back_restores_what_was_configured,
                    an_advice_never_raises_nor_undoes_what_an_operator_sets,
                    an_advice_decided_on_an_older_version_is_refused,
                    who_wants_more_than_is_advised_waits,
                ]);
            }
            mod crowds {
                $crate::conformance_suite!(@tests $crate::conformance::slots::crowds, super::super::$fixture, $flavour, [
                    a_waiter_behind_many_ineligible_heads_is_granted,
                    many_tenants_are_served_in_the_order_of_their_coming,
                    who_holds_nothing_is_before_a_crowd_that_holds_something,
                ]);
            }
            mod granting {
                $crate::conformance_suite!(@tests $crate::conformance::slots::granting, super::super::$fixture, $flavour, [
                    slots_are_granted_up_to_the_limit_and_no_further,
                    a_heavy_lease_takes_its_weight,
                    two_pools_are_taken_all_or_none,
                    two_pools_in_opposite_order_do_not_deadlock,
                    who_waits_for_one_pool_holds_up_only_that_pool,
                    a_pool_named_twice_counts_twice,
                    many_requests_in_one_call_are_answered_in_order,
                    what_can_never_be_granted_is_refused_at_once,
                    a_tenants_refusal_does_not_charge_the_pool,
                    a_release_hands_the_slot_to_the_next_waiter,
                    a_grant_is_pushed_to_the_waiter,
                    a_release_does_not_wake_everybody,
                    a_lost_push_is_said_again_by_the_heartbeat,
                    a_drained_release_keeps_its_slots_until_the_end_is_confirmed,
                    a_closed_pool_queues_and_opens_again,
                ]);
            }
            mod grouping {
                $crate::conformance_suite!(@tests $crate::conformance::slots::grouping, super::super::$fixture, $flavour, [
                    requests_of_one_call_count_those_before_them,
                    the_hold_time_is_learned_from_each_release_of_a_call,
                    a_request_that_a_later_one_lets_in_is_answered_as_granted,
                ]);
            }
            mod stranding {
                $crate::conformance_suite!(@tests $crate::conformance::slots::stranding, super::super::$fixture, $flavour, [
                    what_is_too_heavy_for_now_is_not_refused_for_good,
                    a_waiter_that_became_too_heavy_holds_nobody_up,
                    a_stranded_waiter_keeps_its_place,
                    a_lowered_cap_strands_only_what_is_heavier,
                    a_stranded_waiter_that_leaves_is_told_why,
                    an_advice_strands_and_refuses_nobody,
                    a_stranded_waiter_keeps_no_other_pool,
                    a_waiter_behind_many_stranded_ones_is_granted,
                ]);
            }
            mod losing {
                $crate::conformance_suite!(@tests $crate::conformance::slots::losing, super::super::$fixture, $flavour, [
                    a_new_store_grants_at_once,
                    after_a_loss_holders_register_again_and_nobody_else_is_granted,
                    nothing_is_granted_while_the_store_learns,
                    waiters_get_in_line_again_after_a_loss,
                    a_returning_holder_is_before_a_waiter_for_the_same_job,
                    registered_again_above_the_limit_grants_nothing_until_it_is_below,
                    fences_grow_beyond_those_that_were_registered_again,
                ]);
            }
            mod order {
                $crate::conformance_suite!(@tests $crate::conformance::slots::order, super::super::$fixture, $flavour, [
                    first_come_first_served_among_equals,
                    asking_again_keeps_the_place_in_line,
                    a_tenant_with_many_waiters_does_not_stop_another,
                    tenants_share_by_their_weights,
                    a_tenant_never_holds_more_than_its_cap,
                    nobody_overtakes_a_heavy_head,
                    an_arrival_never_overtakes_an_eligible_waiter,
                    a_waiter_behind_another_tenants_ineligible_head_is_granted,
                    an_arrival_that_must_wait_may_let_another_in,
                    an_arrival_that_is_granted_may_let_another_in,
                    a_lifted_cap_grants_at_once,
                    cancelling_a_heavy_head_wakes_those_behind_it,
                    a_head_that_closes_wakes_those_behind_it,
                    a_tenants_own_line_is_kept_at_its_cap,
                    a_raised_limit_grants_in_order,
                    a_patient_waiter_is_never_refused_for_a_busy_pool,
                    who_would_wait_in_vain_is_refused_at_once,
                ]);
            }
            mod owning {
                $crate::conformance_suite!(@tests $crate::conformance::slots::owning, super::super::$fixture, $flavour, [
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
            mod pausing {
                $crate::conformance_suite!(@tests $crate::conformance::slots::pausing, super::super::$fixture, $flavour, [
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
            mod recording {
                $crate::conformance_suite!(@tests $crate::conformance::slots::recording, super::super::$fixture, $flavour, [
                    a_hold_that_ended_is_on_record,
                    a_lease_of_two_pools_is_on_the_record_of_both,
                    the_record_says_how_a_hold_ended,
                    the_holds_of_a_dead_process_are_on_record,
                    changes_of_the_limit_are_on_record,
                    an_audit_tells_the_true_overlap,
                    a_long_record_comes_in_pages,
                    a_loss_begins_the_record_anew,
                ]);
            }
            mod sessions {
                $crate::conformance_suite!(@tests $crate::conformance::slots::sessions, super::super::$fixture, $flavour, [
                    a_dead_process_loses_its_slots_after_the_ttl_and_not_before,
                    a_dead_process_leaves_the_line,
                    a_slow_but_live_holder_is_never_reclaimed,
                    a_lease_does_not_end_before_its_first_renewal,
                    a_leap_of_the_clock_expires_nobody,
                    a_closed_session_gives_its_slots_back_at_once,
                    what_may_still_run_drains_before_it_is_free,
                    a_dead_processs_slots_drain_after_its_ttl,
                    a_process_that_comes_back_has_lost_its_leases,
                    a_process_that_comes_back_while_its_lease_drains_has_lost_it,
                    the_end_of_one_session_leaves_others_alone,
                ]);
            }
        }
    };
}
