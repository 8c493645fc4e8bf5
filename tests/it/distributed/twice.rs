//! Every message delivered twice.

use std::time::Duration;

use support::wait::eventually;
use support::{Result, ensure};

use super::client::Copier;
use super::scene::{Scene, Stage};

#[test]
fn a_run_whose_messages_all_come_twice_is_done_once() -> Result {
    let stage = Stage { organizations: 600, ..Stage::default() };
    let Some(mut scene) = Scene::set(stage)? else { return Ok(()) };
    scene.broker.rabbitmqctl(&["trace_on", "-p", scene.broker.vhost()])?;
    let copier = Copier::start(&scene.broker.url()?)?;
    scene.under_load()?;
    let all = u64::from(stage.organizations);
    eventually("each message has its copy", Duration::from_secs(60), || {
        Ok((copier.copied()? >= all).then_some(()))
    })?;
    scene.ends_well()?;
    // The copy of a job that is under way, or over, does not run. Between the release of a job's slots and its settlement
    // it is neither: there a copy runs as well, and the first execution's settlement is refused.
    let served = scene.served()?;
    ensure!(served <= all + all / 20, "{served} queries for {all} organizations");
    Ok(())
}
