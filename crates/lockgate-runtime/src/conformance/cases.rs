//! The list of all cases, as a macro that makes a test of each.
//!
//! A case that is not named here is run by nobody: the memory engine's tests look for that.

mod slots;

/// Makes a test of each case, against the fixture that an async function of no arguments gives.
///
/// See [`crate::conformance`].
#[macro_export]
macro_rules! conformance_suite {
    ($fixture:ident) => { $crate::conformance_suite!($fixture, ()); };
    ($fixture:ident, $flavour:tt) => {
        $crate::conformance_suite!(@ledger $fixture $flavour);
        $crate::conformance_suite!(@broker $fixture $flavour);
        $crate::conformance_slots!($fixture $flavour);
    };
    (@ledger $fixture:ident $flavour:tt) => {
        mod ledger {
            mod controlling {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::controlling, super::super::$fixture, $flavour, [
                    a_paused_run_dispatches_nothing_until_it_is_resumed,
                    what_runs_when_its_run_is_paused_may_end,
                    a_pause_does_not_save_up_batches,
                    a_cancelled_run_ends_what_is_not_over,
                    a_cancelled_run_is_not_resumed,
                    a_planning_is_not_resumed,
                    a_retried_job_has_all_its_attempts,
                    a_retry_takes_the_named_states_alone,
                    one_job_is_cancelled_and_run_again,
                    a_job_cancelled_before_its_batch_does_not_go_out,
                    what_is_retried_in_a_cancelled_run_runs,
                    a_new_rhythm_counts_from_the_next_batch_on,
                    what_is_not_there_is_not_found,
                ]);
            }
            mod dispatching {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::dispatching, super::super::$fixture, $flavour, [
                    a_claimed_batch_is_in_the_order_of_its_planning,
                    batches_go_out_in_their_rhythm,
                    a_claim_says_when_to_come_again,
                    missed_batches_do_not_burst_out_together,
                    a_run_starts_at_its_time,
                    two_dispatchers_never_claim_the_same,
                    a_claim_that_was_not_published_is_due_again,
                    a_published_claim_is_not_due_again,
                    a_retry_is_due_at_its_time,
                    a_claim_keeps_its_limit_of_retries,
                ]);
            }
            mod planning {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::planning, super::super::$fixture, $flavour, [
                    a_manifest_is_planned_as_it_was_given,
                    nothing_is_dispatched_before_the_manifest_is_whole,
                    a_planning_that_was_cut_off_is_taken_up_again,
                    a_key_is_planned_once,
                    runs_have_their_own_keys,
                    a_sealed_run_is_not_changed_by_planning,
                    a_second_seal_changes_nothing,
                    a_name_is_not_shared_by_two_kinds_or_hours,
                    a_run_that_was_never_opened_is_not_found,
                    an_empty_run_is_over_at_once,
                    a_planning_can_be_cancelled,
                    a_batch_size_out_of_range_is_refused,
                ]);
            }
            mod admitting {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::admitting, super::super::$fixture, $flavour, [
                    check_of_a_delivery_records_nothing,
                    check_refuses_a_delivery_that_will_not_run,
                    check_skips_a_job_after_the_runs_deadline,
                    deferrals_in_a_row_are_counted_until_another_ending,
                    operators_retry_forgets_earlier_deferrals,
                ]);
            }
            mod bounding {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::bounding, super::super::$fixture, $flavour, [
                    wait_of_a_job_is_cut_to_the_longest,
                    run_with_a_duration_out_of_range_is_refused,
                    long_reason_is_cut,
                ]);
            }
            mod ingesting {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::ingesting, super::super::$fixture, $flavour, [
                    an_adopted_job_is_started_and_settled_like_any_other,
                    an_adopted_job_is_adopted_once,
                    two_adopted_jobs_may_have_one_key,
                    a_retry_of_an_adopted_job_goes_out_by_the_dispatcher,
                    name_of_an_external_run_is_reserved,
                    a_paused_inbox_starts_nothing,
                    a_cancelled_inbox_is_open_for_what_comes_after,
                ]);
            }
            mod reading {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::reading, super::super::$fixture, $flavour, [
                    runs_are_read_newest_first,
                    jobs_are_read_by_what_is_asked,
                    pages_cover_every_job_once,
                    a_page_has_a_hundred_jobs_by_default,
                    two_runs_are_compared_by_their_keys,
                    a_run_is_finished_when_every_job_is_over,
                    a_run_tells_its_timing_when_asked,
                    another_process_reads_the_same,
                ]);
            }
            mod settling {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::settling, super::super::$fixture, $flavour, [
                    an_outcome_is_recorded_with_its_reason,
                    a_job_for_later_waits_in_the_ledger,
                    a_settlement_said_twice_counts_once,
                    a_put_off_delivery_said_twice_counts_once,
                    an_older_execution_has_nothing_to_say,
                    an_older_delivery_has_nothing_to_say,
                    an_execution_counts_although_another_delivery_was_put_off,
                    a_late_settlement_of_a_job_that_is_over_changes_nothing,
                    deferrals_are_counted_by_run,
                    waits_in_vain_count,
                    reason_of_a_deferral_stays_until_the_next_settlement,
                    a_winding_way_ends_once,
                ]);
            }
            mod starting {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::starting, super::super::$fixture, $flavour, [
                    each_start_is_an_attempt,
                    a_start_that_is_said_twice_is_one_start,
                    a_deferral_uses_no_attempt,
                    a_delivery_that_is_put_off_uses_no_attempt,
                    a_stale_delivery_does_not_start,
                    a_start_may_come_before_the_report_of_publishing,
                    a_started_job_is_not_claimed_again,
                    the_fourth_start_of_a_job_that_kills_its_process_is_refused,
                    only_unsettled_starts_in_a_row_count_as_poison,
                    a_delivery_that_is_put_off_forgives_no_start,
                    a_paused_run_takes_its_deliveries_back,
                    a_delivery_after_the_runs_deadline_is_skipped,
                    many_starts_in_one_call_are_answered_in_order,
                ]);
            }
            mod stepping {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::stepping, super::super::$fixture, $flavour, [
                    batches_keep_their_rhythm_when_the_clock_steps,
                    retries_and_deferrals_keep_their_time_when_the_clock_steps,
                    claims_keep_their_time_when_the_clock_steps,
                    deadlines_keep_their_time_when_the_clock_steps,
                    messages_are_not_lost_when_the_clock_steps,
                    a_process_that_starts_after_a_step_goes_on_with_the_others,
                    people_read_wall_time_when_the_clock_has_stepped,
                ]);
            }
            mod sweeping {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::sweeping, super::super::$fixture, $flavour, [
                    a_sweep_leaves_what_goes_on_alone,
                    what_is_left_after_the_deadline_is_skipped,
                    the_deadline_of_a_paused_run_passes_too,
                    a_job_whose_message_was_lost_is_due_again,
                    a_job_that_was_started_is_not_lost,
                    runs_that_are_long_over_are_forgotten,
                    a_sweep_keeps_its_limit,
                    messages_are_recovered_queue_by_queue,
                    lost_messages_are_recovered_portion_by_portion,
                ]);
            }
            mod transitions {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::transitions, super::super::$fixture, $flavour, [
                    every_state_when_its_message_is_confirmed,
                    every_state_when_a_delivery_ends,
                    every_state_at_an_operators_command,
                    every_state_when_the_deadline_passes,
                    every_state_at_a_fourth_start,
                    every_state_when_its_delivery_is_taken_back,
                ]);
            }
            mod unrecorded {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::unrecorded, super::super::$fixture, $flavour, [
                    a_start_left_for_later_counts_when_it_is_settled,
                    a_start_after_one_that_stands_unsettled_is_recorded,
                    an_unrecorded_execution_gives_way_to_a_recorded_one,
                    a_start_is_recorded_while_its_job_runs,
                    an_unrecorded_execution_is_heard_though_its_double_was_put_off,
                    a_job_that_is_underway_stays_put_off_by_its_double,
                    a_start_left_for_later_is_refused_like_any_other,
                    an_unrecorded_execution_has_nothing_to_say_of_the_next_life,
                    starts_of_every_kind_travel_in_one_call,
                ]);
            }
        }
    };
    (@broker $fixture:ident $flavour:tt) => {
        mod broker {
            $crate::conformance_suite!(@tests $crate::conformance::broker, super::$fixture, $flavour, [
                a_message_arrives_as_it_was_published,
                a_waiting_subscriber_is_woken_by_a_publication,
                queues_are_apart,
                the_window_of_unsettled_deliveries_is_kept,
                two_subscribers_never_share_a_message,
                an_acknowledged_message_is_gone,
                what_a_dropped_subscription_did_not_settle_comes_again,
                a_late_ack_of_an_ended_subscription_is_passed_over,
                a_returned_message_is_ready_at_once,
                a_returned_message_leaves_its_window,
                a_rejected_message_is_a_dead_letter,
                a_wait_that_is_given_up_loses_no_delivery,
                a_queue_counts_its_consumers,
                a_dead_letter_says_why_it_is_one,
                a_replayed_dead_letter_is_delivered_again,
                dropped_dead_letters_are_gone,
            ]);
        }
    };
    (@tests $module:path, $fixture:path, $flavour:tt, [$($case:ident,)*]) => {
        use $module as cases;
        $(
            #[tokio::test $flavour]
            async fn $case() {
                let fixture = $fixture().await;
                cases::$case(&fixture).await;
            }
        )*
    };
}
