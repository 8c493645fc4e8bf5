//! The list of all cases, as a macro that creates a test for each.
//!
//! A case that is not in the list does not run. A test of the memory engine checks that no case is missing.

mod slots;

/// Creates a test for each case. `$fixture` is an async function without arguments that returns a
/// [`Fixture`](crate::conformance::Fixture).
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
            mod commands {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::commands, super::super::$fixture, $flavour, [
                    paused_run_dispatches_nothing_until_resumed,
                    running_job_of_paused_run_may_finish,
                    batches_do_not_accumulate_during_pause,
                    cancelled_run_cancels_its_unfinished_jobs,
                    cancelled_run_cannot_be_paused_or_resumed,
                    planning_run_cannot_be_resumed,
                    retried_job_gets_all_attempts_again,
                    retry_affects_only_named_states,
                    single_job_can_be_cancelled_and_retried,
                    cancelled_job_is_left_out_of_its_batch,
                    retried_job_of_cancelled_run_runs,
                    new_cadence_applies_from_next_batch,
                    command_for_unknown_run_or_job_is_not_found,
                ]);
            }
            mod dispatching {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::dispatching, super::super::$fixture, $flavour, [
                    batch_is_claimed_in_planning_order,
                    batches_follow_cadence,
                    claim_returns_next_due_time,
                    missed_batches_are_not_dispatched_together,
                    run_starts_at_its_start_time,
                    two_dispatchers_never_claim_the_same_job,
                    unpublished_claim_is_due_again,
                    published_job_is_not_due_again,
                    retry_is_due_after_its_wait,
                    claim_size_bounds_retries,
                ]);
            }
            mod planning {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::planning, super::super::$fixture, $flavour, [
                    manifest_is_planned_unchanged,
                    nothing_is_dispatched_before_run_is_sealed,
                    interrupted_planning_can_continue,
                    key_is_planned_once_per_run,
                    runs_may_share_keys,
                    sealed_run_accepts_no_more_jobs,
                    second_seal_changes_nothing,
                    run_name_cannot_be_reused_for_other_kind_or_hour,
                    unopened_run_is_not_found,
                    empty_run_is_finished_at_once,
                    planning_can_be_cancelled,
                    out_of_range_batch_size_is_refused,
                ]);
            }
            mod start_checks {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::start_checks, super::super::$fixture, $flavour, [
                    check_of_delivery_writes_nothing,
                    check_refuses_delivery_that_will_not_run,
                    check_skips_job_after_run_deadline,
                    consecutive_deferrals_are_counted_until_other_outcome,
                    operator_retry_resets_deferral_count,
                ]);
            }
            mod bounds {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::bounds, super::super::$fixture, $flavour, [
                    too_long_wait_is_shortened,
                    run_with_out_of_range_duration_is_refused,
                    long_reason_is_truncated,
                ]);
            }
            mod ingesting {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::ingesting, super::super::$fixture, $flavour, [
                    ingested_job_is_started_and_settled_like_any_other,
                    redelivered_message_is_ingested_once,
                    ingested_jobs_may_share_a_key,
                    retry_of_ingested_job_is_dispatched,
                    name_of_an_external_run_is_reserved,
                    paused_external_run_starts_nothing,
                    cancelled_external_run_accepts_new_jobs,
                ]);
            }
            mod reading {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::reading, super::super::$fixture, $flavour, [
                    runs_are_read_newest_first,
                    jobs_are_filtered_by_run_state_key_and_id,
                    pages_cover_every_job_once,
                    default_page_has_a_hundred_jobs,
                    runs_are_compared_by_key,
                    run_is_finished_when_every_job_is_finished,
                    run_shows_timing_on_request,
                    all_processes_read_the_same,
                ]);
            }
            mod settling {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::settling, super::super::$fixture, $flavour, [
                    outcome_is_stored_with_its_reason,
                    retried_or_deferred_job_waits_in_ledger,
                    repeated_settlement_counts_once,
                    repeated_deferral_of_a_delivery_counts_once,
                    older_execution_cannot_settle,
                    older_delivery_cannot_settle,
                    execution_counts_although_second_delivery_is_deferred,
                    late_settlement_of_finished_job_changes_nothing,
                    deferrals_are_counted_per_run,
                    waits_of_deferred_deliveries_count,
                    deferral_reason_stays_until_next_settlement,
                    job_with_many_transitions_finishes_once,
                ]);
            }
            mod starting {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::starting, super::super::$fixture, $flavour, [
                    each_start_uses_an_attempt,
                    repeated_start_call_is_one_start,
                    deferral_uses_no_attempt,
                    delivery_deferred_before_start_uses_no_attempt,
                    stale_delivery_does_not_start,
                    start_may_precede_report_of_publication,
                    started_job_is_not_claimed_again,
                    fourth_start_of_crashing_job_is_refused,
                    only_consecutive_unsettled_starts_count_as_poison,
                    deferred_delivery_does_not_reset_unsettled_starts,
                    paused_run_takes_its_deliveries_back,
                    delivery_after_run_deadline_is_skipped,
                    starts_of_one_call_are_answered_in_order,
                ]);
            }
            mod clock_steps {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::clock_steps, super::super::$fixture, $flavour, [
                    clock_step_does_not_change_cadence,
                    clock_step_does_not_change_wait_of_retries_and_deferrals,
                    clock_step_does_not_change_hold_of_claims,
                    clock_step_does_not_change_deadlines,
                    clock_step_does_not_make_messages_lost,
                    process_started_after_clock_step_agrees_with_others,
                    times_shown_to_users_follow_wall_clock,
                ]);
            }
            mod sweeps {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::sweeps, super::super::$fixture, $flavour, [
                    sweep_does_not_change_active_jobs,
                    unfinished_jobs_are_skipped_after_deadline,
                    deadline_of_paused_run_expires,
                    job_with_lost_message_is_due_again,
                    started_or_waiting_job_is_not_lost,
                    old_finished_runs_are_deleted,
                    sweep_size_is_bounded,
                    messages_are_recovered_per_queue,
                    bounded_sweeps_recover_all_lost_messages,
                ]);
            }
            mod transitions {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::transitions, super::super::$fixture, $flavour, [
                    every_state_when_message_is_confirmed,
                    every_state_when_delivery_is_settled,
                    every_state_on_operator_command,
                    every_state_when_deadline_expires,
                    every_state_on_fourth_unsettled_start,
                    every_state_when_delivery_of_paused_run_is_taken_back,
                ]);
            }
            mod unrecorded_starts {
                $crate::conformance_suite!(@tests $crate::conformance::ledger::unrecorded_starts, super::super::$fixture, $flavour, [
                    unrecorded_start_counts_when_settled,
                    start_after_unsettled_start_is_recorded_at_once,
                    recorded_execution_supersedes_unrecorded_one,
                    start_of_long_job_is_recorded_while_it_runs,
                    unrecorded_execution_settles_although_duplicate_was_deferred,
                    running_job_stays_deferred_by_duplicate,
                    unrecorded_start_is_refused_like_any_other,
                    unrecorded_execution_cannot_settle_job_after_operator_retry,
                    starts_of_all_durabilities_in_one_call,
                ]);
            }
        }
    };
    (@broker $fixture:ident $flavour:tt) => {
        mod broker {
            $crate::conformance_suite!(@tests $crate::conformance::broker, super::$fixture, $flavour, [
                message_arrives_as_published,
                publication_wakes_waiting_subscriber,
                subscriber_gets_messages_of_its_queue_only,
                unsettled_deliveries_never_exceed_prefetch,
                message_is_delivered_to_one_subscriber_only,
                acknowledged_message_is_not_redelivered,
                unsettled_messages_of_dropped_subscription_are_redelivered,
                late_ack_of_ended_subscription_is_ignored,
                returned_message_is_ready_at_once,
                returned_message_frees_its_prefetch_place,
                rejected_message_becomes_dead_letter,
                cancelled_wait_loses_no_delivery,
                consumers_of_all_processes_are_counted,
                dead_letter_has_reason_and_body,
                replayed_dead_letter_is_delivered_again,
                dropped_dead_letters_are_removed,
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
