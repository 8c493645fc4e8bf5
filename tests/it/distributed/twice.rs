//! Every message is delivered twice.

use std::time::Duration;

use support::wait::eventually;
use support::{Result, ensure};

use super::client::Copier;
use super::scenario::{Scenario, ScenarioOptions};

#[test]
fn run_whose_messages_are_all_delivered_twice_is_done_once() -> Result {
    let options = ScenarioOptions { organizations: 600, ..ScenarioOptions::default() };
    let Some(mut scenario) = Scenario::start(options)? else { return Ok(()) };
    scenario.broker.rabbitmqctl(&["trace_on", "-p", scenario.broker.vhost()])?;
    let copier = Copier::start(&scenario.broker.url()?)?;
    scenario.under_load()?;
    let all = u64::from(options.organizations);
    eventually("each message has its copy", Duration::from_secs(60), || {
        Ok((copier.copied()? >= all).then_some(()))
    })?;
    scenario.ends_well()?;
    // The second delivery of a running or settled job does not run. Between the release of a job's slots and
    // its settlement the job is neither, so a second delivery runs, and one of the two settlements is
    // rejected.
    let served = scenario.served()?;
    ensure!(served <= all + all / 20, "{served} queries for {all} organizations");
    Ok(())
}
