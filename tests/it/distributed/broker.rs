//! What happens to RabbitMQ: killed, frozen, out of memory, impatient with slow consumers.

use std::time::Duration;

use support::servers::RabbitMq;
use support::{Result, bail, ensure, usual_or_nightly};

use super::scene::{Broker, SLOTS, Scene, Stage, lasts, outlives};

const BACK: Duration = Duration::from_secs(10);
const OWN: Stage = Stage { organizations: 1_000, batch_delay: "100ms", broker: Some(""), slots: SLOTS };
/// For three quarters of a minute: a command to RabbitMQ takes its time, and has to come before all is published.
const LONG: Stage = Stage { organizations: 1_500, batch_delay: "300ms", ..OWN };

#[test]
fn a_run_outlives_a_broker_that_is_killed() -> Result {
    let kill = |scene: &mut Scene| {
        // RabbitMQ 3.10 writes down that there is a quorum queue some three seconds after it was declared. Killed before
        // that, it starts again with a queue that has no leader, and answers nothing about it. Here the queue is young only
        // because the test is short; `docs/deploying.md` tells of it.
        own(scene)?.rabbitmqctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."])?;
        own(scene)?.kill();
        Ok(())
    };
    outlives(LONG, BACK, kill, |scene| own(scene)?.restart())
}

#[test]
fn a_run_outlives_a_broker_that_freezes() -> Result {
    let freeze = |scene: &mut Scene| {
        own(scene)?.freeze()?;
        lasts(usual_or_nightly(Duration::from_secs(10), Duration::from_secs(40)))
    };
    outlives(OWN, BACK, freeze, |scene| own(scene)?.thaw())
}

#[test]
fn a_run_outlives_a_broker_without_memory() -> Result {
    let fill = |scene: &mut Scene| {
        scene.broker.rabbitmqctl(&["set_vm_memory_high_watermark", "0.000001"])?;
        lasts(usual_or_nightly(Duration::from_secs(8), Duration::from_secs(30)))?;
        let alarms = scene.broker.rabbitmqctl(&["eval", "rabbit_alarm:get_alarms()."])?;
        ensure!(alarms.contains("memory"), "there was no alarm: {alarms}");
        Ok(())
    };
    let empty = |scene: &mut Scene| {
        scene.broker.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"])?;
        Ok(())
    };
    outlives(LONG, BACK, fill, empty)
}

/// Few slots, so that deliveries wait at their worker for longer than the broker thinks is right.
#[test]
fn a_run_outlives_a_broker_that_takes_slow_consumers_for_dead() -> Result {
    let stage = Stage { organizations: 200, broker: Some("consumer_timeout = 1000\n"), slots: 1, ..OWN };
    let Some(mut scene) = Scene::set(stage)? else { return Ok(()) };
    // How often it looks is no key of its config: a minute.
    scene.broker.rabbitmqctl(&["eval", "application:set_env(rabbit, channel_tick_interval, 500)."])?;
    scene.under_load()?;
    scene.some_more_is_done(60, Duration::from_secs(60))?;
    let said = own(&mut scene)?.node_log()?;
    ensure!(said.contains("timed out"), "no consumer was taken for dead: nothing was tested");
    scene.ends_well()
}

fn own(scene: &mut Scene) -> Result<&mut RabbitMq> {
    match &mut scene.broker {
        Broker::Own(own) => Ok(own),
        Broker::Shared(..) => bail!("this test harms its broker, and needs one of its own"),
    }
}
