//! Faults of RabbitMQ: it is killed, frozen, out of memory, or disconnects slow consumers.

use std::time::Duration;

use support::servers::RabbitMq;
use support::{Result, bail, ensure, usual_or_nightly};

use super::scenario::{Broker, SLOTS, Scenario, ScenarioOptions, lasts, survives};

const BACK: Duration = Duration::from_secs(10);
const OWN: ScenarioOptions =
    ScenarioOptions { organizations: 1_000, batch_delay: "100ms", broker: Some(""), slots: SLOTS };
/// About 45 seconds of dispatching, because `rabbitmqctl` is slow and must finish before all jobs are
/// published.
const LONG: ScenarioOptions = ScenarioOptions { organizations: 1_500, batch_delay: "300ms", ..OWN };

#[test]
fn run_survives_a_killed_broker() -> Result {
    let kill = |scenario: &mut Scenario| {
        // RabbitMQ 3.10 persists the existence of a quorum queue about three seconds after its declaration.
        // If it is killed earlier, the queue has no leader after the restart and does not respond. The queue
        // is this young only because the test is short; `docs/deploying.md` describes the problem.
        own(scenario)?.rabbitmqctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."])?;
        own(scenario)?.kill();
        Ok(())
    };
    survives(LONG, BACK, kill, |scenario| own(scenario)?.restart())
}

#[test]
fn run_survives_a_frozen_broker() -> Result {
    let freeze = |scenario: &mut Scenario| {
        own(scenario)?.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    survives(OWN, BACK, freeze, |scenario| own(scenario)?.thaw())
}

#[test]
fn run_survives_a_broker_without_memory() -> Result {
    let fill = |scenario: &mut Scenario| {
        scenario.broker.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"])?;
        lasts(usual_or_nightly(Duration::from_secs(8), Duration::from_secs(30)))?;
        let alarms = scenario.broker.rabbitmqctl(&["eval", "rabbit_alarm:get_alarms()."])?;
        ensure!(alarms.contains("memory"), "there was no alarm: {alarms}");
        Ok(())
    };
    let empty = |scenario: &mut Scenario| {
        scenario.broker.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"])?;
        Ok(())
    };
    survives(LONG, BACK, fill, empty)
}

/// With few slots, deliveries wait at their worker for longer than the broker's consumer timeout.
#[test]
fn run_survives_a_broker_that_disconnects_slow_consumers() -> Result {
    let options =
        ScenarioOptions { organizations: 200, broker: Some("consumer_timeout = 1000\n"), slots: 1, ..OWN };
    let Some(mut scenario) = Scenario::start(options)? else { return Ok(()) };
    // The interval of the broker's check is not in its config file. The default is a minute.
    scenario.broker.rabbitmqctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."])?;
    scenario.under_load()?;
    scenario.some_more_is_done(60, Duration::from_secs(60))?;
    let log = own(&mut scenario)?.node_log()?;
    ensure!(log.contains("timed out"), "no consumer timed out, so nothing was tested");
    scenario.ends_well()
}

fn own(scenario: &mut Scenario) -> Result<&mut RabbitMq> {
    match &mut scenario.broker {
        Broker::Own(own) => Ok(own),
        Broker::Shared(..) => bail!("this test harms its broker and needs a private one"),
    }
}
