//! Tests `limits`: rates and their ramps, as an operator sets and reads them.

use serde_json::Value;

use super::greeter::Greeter;

#[test]
fn rate_that_was_set_takes_precedence_over_the_config() {
    let greeter = Greeter::new();
    assert!(greeter.ok(&["limits", "show"]).contains("no rate limits"));
    let config = greeter.file("lockgate.toml", "[pools.door]\nrate = '5/s'\n[kinds.greet]\nrate = '1/h'\n");
    let configured = &greeter.json(&["limits", "show", "door", "--config", &config])["limits"][0];
    assert_eq!((&configured["rate"], &configured["version"]), (&"5/s".into(), &0.into()));
    let set = greeter.json(&["limits", "set", "door", "--rate", "600/min", "--burst", "20"])["limit"].take();
    assert_eq!((&set["rate"], &set["burst"], &set["version"]), (&"10/s".into(), &20.into(), &1.into()));
    let set = greeter.json(&["limits", "set", "door", "--burst", "30", "--if-version", "1"])["limit"].take();
    assert_eq!((&set["rate"], &set["burst"], &set["version"]), (&"10/s".into(), &30.into(), &2.into()));
    assert!(
        greeter
            .fails(&["limits", "set", "door", "--rate", "1/s", "--if-version", "1"], 1)
            .contains("version 2")
    );
    let shown = greeter.ok(&["limits", "show", "--config", &config]);
    assert!(
        shown.contains("10/s") && shown.contains("config says 5/s") && shown.contains("not used yet"),
        "{shown}"
    );
}

/// Returns the rate, burst and slots in force, and the ramp step.
fn in_force(greeter: &Greeter) -> (String, Value, Value, Value) {
    let limit = greeter.json(&["limits", "show", "door"])["limits"][0].take();
    let pool = greeter.json(&["slots", "show", "door"])["pools"][0].take();
    assert_eq!(pool["slots"], 50, "a ramp step does not change the slots of the pool");
    let rate = limit["rate"].as_str().unwrap_or("none").to_owned();
    (rate, limit["burst"].clone(), pool["effective_slots"].clone(), limit["step"].clone())
}

#[test]
fn ramp_steps_are_shares_of_the_configured_limit_which_applies_again_at_the_end() {
    let greeter = Greeter::new();
    let ramp = |action: &str| greeter.json(&["limits", "ramp", "door", action]);
    let is = |rate: &str, burst: u32, slots: u32, step: Value| {
        assert_eq!(in_force(&greeter), (rate.to_owned(), burst.into(), slots.into(), step));
    };
    assert_eq!(greeter.json(&["limits", "ramp", "door"])["step"], Value::Null);
    for action in ["advance", "back", "end"] {
        let refused = greeter.fails(&["limits", "ramp", "door", action], 1);
        assert!(refused.contains("limits ramp door start"), "{refused}");
    }
    greeter.ok(&["slots", "set", "door", "--slots", "50"]);
    greeter.ok(&["limits", "set", "door", "--rate", "100/s", "--burst", "150"]);
    for (action, step, rate, burst, slots) in [
        ("start", 1, "5/s", 7, 2),
        ("advance", 2, "25/s", 37, 12),
        ("back", 1, "5/s", 7, 2),
        ("advance", 2, "25/s", 37, 12),
        ("advance", 3, "100/s", 150, 50),
        ("start", 1, "5/s", 7, 2),
    ] {
        let shown = ramp(action);
        assert_eq!((&shown["step"], &shown["configured_rate"]), (&step.into(), &"100/s".into()), "{shown:#}");
        assert!(shown["why"].as_str().unwrap().contains("by an operator"), "{shown:#}");
        is(rate, burst, slots, (step - 1).into());
    }
    assert!(greeter.ok(&["limits", "show"]).contains("step 1; 100/s without ramp"));
    // A step back from the first step ends the ramp.
    assert_eq!(ramp("back")["step"], Value::Null);
    is("100/s", 150, 50, Value::Null);
    ramp("start");
    assert_eq!(ramp("end")["step"], Value::Null);
    is("100/s", 150, 50, Value::Null);
}

#[test]
fn ramp_of_a_pool_without_a_rate_reduces_its_slots() {
    let greeter = Greeter::new();
    greeter.ok(&["slots", "set", "door", "--slots", "50"]);
    greeter.json(&["limits", "ramp", "door", "start"]);
    assert_eq!(in_force(&greeter), ("none".to_owned(), Value::Null, 2.into(), 0.into()));
    greeter.json(&["limits", "ramp", "door", "end"]);
    assert!(greeter.ok(&["limits", "show"]).contains("no rate limits"));
    assert_eq!(greeter.json(&["slots", "show", "door"])["pools"][0]["effective_slots"], 50);
    let refused = greeter.fails(&["limits", "ramp", "kind:greet", "start"], 1);
    assert!(refused.contains("limits set kind:greet --rate"), "{refused}");
}

#[test]
fn rate_that_is_set_during_a_ramp_applies_when_the_ramp_ends() {
    let greeter = Greeter::new();
    greeter.ok(&["slots", "set", "door", "--slots", "50"]);
    greeter.ok(&["limits", "set", "door", "--rate", "100/s", "--burst", "100"]);
    greeter.ok(&["limits", "ramp", "door", "start"]);
    let text = greeter.ok(&["limits", "set", "door", "--rate", "200/s", "--burst", "200"]);
    assert!(text.contains("200/s") && text.contains("step 1 keeps it at 10/s, burst 10"), "{text}");
    assert_eq!(in_force(&greeter), ("10/s".to_owned(), 10.into(), 2.into(), 0.into()));
    let refused = greeter.fails(&["limits", "unset", "door"], 1);
    assert!(refused.contains("limits ramp door end"), "{refused}");
    greeter.ok(&["limits", "ramp", "door", "end"]);
    assert_eq!(in_force(&greeter), ("200/s".to_owned(), 200.into(), 50.into(), Value::Null));
}

#[test]
fn rate_of_the_config_applies_again_after_unset() {
    let greeter = Greeter::new();
    let config = greeter.file("rated.toml", "[pools.door]\nrate = '5/s'\n");
    assert!(greeter.fails(&["limits", "unset", "door"], 66).contains("no rate that was set"));
    greeter.ok(&["limits", "set", "door", "--rate", "10/s"]);
    assert!(greeter.fails(&["limits", "unset", "door", "--if-version", "7"], 1).contains("version 1"));
    assert!(
        greeter
            .ok(&["limits", "unset", "door", "--config", &config])
            .contains("5/s, burst 5, from the config")
    );
    assert_eq!(greeter.json(&["limits", "show", "door"])["limits"][0]["rate"], "5/s");
    assert!(greeter.ok(&["limits", "unset", "door"]).contains("no rate"));
    assert!(greeter.ok(&["limits", "show"]).contains("no rate limits"));
    greeter.ok(&["limits", "set", "door", "--rate", "10/s"]);
    assert_eq!(greeter.json(&["limits", "show", "door"])["limits"][0]["version"], 4);
}
