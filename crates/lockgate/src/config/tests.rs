//! What a config may say, and what is said about a bad one.
//!
//! They must never read the environment of the machine.

use std::time::Duration;

use garde::Validate;
use lockgate_core::pool::OnBusy;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigErrors, Loaded, Names, Secret, Section, Sources, load, schema, template};
use crate::settings::{Adaptive, Settings, durations};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
struct Mail {
    /// Where to.
    #[garde(length(min = 1))]
    server: String,
    /// Again and again.
    #[garde(range(max = 9))]
    tries: u8,
    #[serde(with = "durations")]
    #[schemars(with = "String")]
    #[garde(skip)]
    timeout: Duration,
    #[garde(skip)]
    ports: Vec<u16>,
}

impl Default for Mail {
    fn default() -> Self {
        Self { server: "localhost".into(), tries: 3, timeout: Duration::from_secs(2), ports: vec![25] }
    }
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema, Validate)]
#[serde(default)]
struct Vault {
    #[garde(custom(not_wrong))]
    password: Secret,
}

fn not_wrong(secret: &Secret, (): &()) -> garde::Result {
    if secret.expose() == "wrong" { Err(garde::Error::new("wrong is wrong")) } else { Ok(()) }
}

struct Given {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Given {
    fn file(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lockgate.toml");
        std::fs::write(&path, text).unwrap();
        let sections = vec![Section::of::<Mail>("mail"), Section::of::<Vault>("vault")];
        let environment = Some(std::collections::HashMap::new());
        Self {
            folder,
            sources: Sources {
                file: Some(path),
                environment,
                overrides: vec![],
                sections,
                names: Names::default(),
            },
        }
    }

    fn env(mut self, key: &str, value: &str) -> Self {
        self.sources.environment.as_mut().unwrap().insert(key.into(), value.into());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.into(), value.into()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigErrors> {
        load(&self.sources)
    }

    /// The faults, the file's folder taken out.
    fn faults(&self) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        let faults = self.load().unwrap_err().faults;
        faults.iter().map(|fault| fault.to_string().replace(&folder, "")).collect()
    }
}

#[test]
fn flags_are_stronger_than_the_environment_and_that_than_the_file() {
    let given = Given::file("[worker]\nconcurrency = 1\ngrace = '1s'\n[runs]\nbatch_size = 1")
        .env("LOCKGATE__WORKER__CONCURRENCY", "2")
        .env("LOCKGATE__WORKER__GRACE", "2s")
        .flag("worker.concurrency", "3");
    let settings = given.load().unwrap().settings;
    assert_eq!(settings.worker.concurrency, 3);
    assert_eq!(settings.worker.grace, Duration::from_secs(2));
    assert_eq!(settings.runs.batch_size, 1);
    assert_eq!(settings.runs.batch_delay, Duration::from_secs(2));
}

#[test]
fn a_text_of_the_environment_is_a_number_only_where_the_section_wants_one() {
    let given = Given::file("")
        .env("LOCKGATE__VAULT__PASSWORD", "00123")
        .env("LOCKGATE__EMBEDDED__PATH", "0042")
        .env("LOCKGATE__MAIL__TRIES", "7")
        .env("LOCKGATE__MAIL__PORTS", "[25, 26]")
        .env("LOCKGATE__POOLS__CLICKHOUSE__PER_TENANT", "4")
        .env("LOCKGATE__POOLS__CLICKHOUSE__ON_BUSY", "skip")
        .env("LOCKGATE__POOLS__CLICKHOUSE__ADAPTIVE", "enforce");
    let loaded = given.load().unwrap();
    assert_eq!(loaded.section::<Vault>("vault").unwrap().password.expose(), "00123");
    assert_eq!(loaded.settings.embedded.path.to_str(), Some("0042"));
    let mail = loaded.section::<Mail>("mail").unwrap();
    assert_eq!((mail.tries, mail.ports), (7, vec![25, 26]));
    let pool = loaded.settings.pools.values().next().unwrap();
    assert_eq!((pool.per_tenant, pool.on_busy), (Some(4), OnBusy::Skip));
    assert_eq!((pool.adaptive, pool.adaptive_min), (Adaptive::Enforce, 1));
}

#[test]
fn a_file_that_is_not_there_is_no_fault_unless_it_was_named() {
    assert!(Given::file("").load().is_ok());
    let mut given = Given::file("");
    given.sources.file = Some("/nowhere/lockgate.toml".into());
    let faults = given.faults();
    assert!(faults[0].starts_with("/nowhere/lockgate.toml: cannot read the config file"), "{faults:?}");
    assert!(faults[0].contains("config init"), "{faults:?}");
}

#[test]
fn every_fault_is_named_with_its_value_and_the_way_out() {
    let given = Given::file(
        "[worker]\nconcurrency = 0\ngrace = '2'\n[runs]\nbatch_size = 2.5\nbach_delay = '2s'\nkeep = '10s'\n\
         [pools.clickhouse]\nslots = -1\non_busy = 'wait'\nrate = 'fast'\nin_flight = 9\n\
         [pools.other]\nrate = '10/s'\nburst = 0\n[pools.third]\nburst = 5\n[pools.fourth]\nrate = '0/s'\n\
         [kinds.greet]\nrate = 10\n[kinds.wave]\nrate = '1/d'\nburst = 900\n[mail]\ntries = 10\nserver = ''\n[mial]\ntries = 1",
    )
    .env("LOCKGATE__LOG__FILTER", " ")
    .env("LOCKGATE__RUNS__DEADLINE", "soon")
    .flag("mail.timeout", "-1s");
    let faults = given.faults();
    for part in [
        "worker.concurrency = 0 (from lockgate.toml): must be 1 to 10000",
        "worker.grace = \"2\" (from lockgate.toml): \"2\" is not a duration",
        "write it as \"500ms\", \"2s\" or \"1m 30s\"",
        "runs.batch_size = 2.5 (from lockgate.toml): invalid type: floating point `2.5`, expected u32",
        "runs.bach_delay (from lockgate.toml): there is no such key; did you mean \"batch_delay\"?",
        "runs.keep = \"10s\" (from lockgate.toml): must be 1m to",
        "pools.clickhouse.slots = -1 (from lockgate.toml): invalid value: integer `-1`, expected u32",
        "pools.clickhouse.on_busy = \"wait\" (from lockgate.toml): unknown variant `wait`, expected `defer` or `skip`",
        "pools.clickhouse.rate = \"fast\" (from lockgate.toml): \"fast\" is not a rate: a rate is written as \"10/s\"",
        "pools.clickhouse.in_flight (from lockgate.toml): there is no such key; what is in flight on a backend at once is \
         its pool's slots: set slots instead",
        "pools.other.burst = 0 (from lockgate.toml): must be at least 1; leave it out for what the rate brings in a second",
        "pools.third.burst = 5 (from lockgate.toml): is of no use without a rate; also set a rate",
        "pools.fourth.rate = \"0/s\" (from lockgate.toml): \"0/s\" is not a rate: a rate is between one token a day",
        "kinds.greet.rate = 10 (from lockgate.toml): invalid type: integer `10`, expected a rate such as \"10/s\"",
        "kinds.wave.burst = 900 (from lockgate.toml): a burst fills within 200 days; this one takes longer at its rate; make",
        "mail.tries = 10 (from lockgate.toml): greater than 9",
        "mail.server = \"\" (from lockgate.toml): length is lower than 1",
        "mial (from lockgate.toml): there is no such key; did you mean \"mail\"?",
        "log.filter = \" \" (from the environment): must not be empty",
        "runs.deadline = \"soon\" (from the environment): \"soon\" is not a duration",
        "or \"forever\"",
        "mail.timeout = \"-1s\" (from a flag): \"-1s\" is not a duration",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part}\nis not in\n{faults:#?}");
    }
    assert_eq!(faults.len(), 20, "{faults:#?}");
    assert!(faults.iter().all(|fault| !fault.contains('\n')));
}

#[test]
fn a_rate_is_read_shown_and_has_a_second_of_burst_by_default() {
    let given =
        Given::file("[pools.clickhouse]\nrate = '600/min'\n[kinds.greet]\nrate = '3/10s'\nburst = 20")
            .env("LOCKGATE__POOLS__OTHER__RATE", "1/h");
    let loaded = given.load().unwrap();
    let quotas = crate::settings::quotas(&loaded.settings);
    let told: Vec<_> = quotas.iter().map(|(name, q)| format!("{name} {} {}", q.rate(), q.burst())).collect();
    assert_eq!(told, ["kind:greet 18/min 20", "pool:clickhouse 10/s 10", "pool:other 1/h 1"]);
    let shown = serde_json::to_string(&loaded.show()).unwrap();
    assert!(shown.contains("\"rate\":\"10/s\"") && shown.contains("\"rate\":\"18/min\""), "{shown}");
}

/// The example of docs/tuning.md.
const WEBHOOKS: &str = "
[pools.webhooks]
slots = 500
rate = '100/s'
burst = 150

[pools.webhooks.ramp]
soak = '10min'
min_samples = 100
max_error_rate = 0.01
max_p95 = '1s'
steps = [
  { share = 5, rate = '10/s', burst = 20, slots = 100 },
  { share = 25, rate = '25/s', burst = 50, slots = 250 },
  { share = 100, rate = '100/s', burst = 150, slots = 500 },
]
";

#[test]
fn stages_of_the_documented_example_are_read_and_shown() {
    let docs = include_str!("../../../../docs/tuning.md").replace('"', "'");
    let lines = |text: &str| -> Vec<String> {
        let code = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim().to_owned());
        code.filter(|line| !line.is_empty()).collect()
    };
    let (documented, example) = (lines(&docs), lines(WEBHOOKS));
    assert!(documented.windows(example.len()).any(|window| window == example), "it is not in docs/tuning.md");
    let loaded = Given::file(WEBHOOKS).load().unwrap();
    let ramp = &crate::settings::ramp(&loaded.settings)["pool:webhooks"];
    let configured = crate::settings::quotas(&loaded.settings)["pool:webhooks"];
    let seen: Vec<_> = ramp
        .steps
        .iter()
        .map(|step_of_ramp| {
            let quota = step_of_ramp.quota(Some(configured)).unwrap();
            (step_of_ramp.share, quota.rate().to_string(), quota.burst(), step_of_ramp.slots(500))
        })
        .collect();
    let step = |share, rate: &str, burst, slots| (share, rate.to_owned(), burst, slots);
    assert_eq!(seen, [step(5, "10/s", 20, 100), step(25, "25/s", 50, 250), step(100, "100/s", 150, 500)]);
    assert!(serde_json::to_string(&loaded.show()).unwrap().contains("\"soak\":\"10m\""));
}

#[test]
fn stages_out_of_their_bounds_are_refused_with_their_key() {
    for (wrong, key, problem) in [
        ("steps = [{ share = 0 }]", "steps[0].share", "1 to 100"),
        ("steps = [{ share = 101 }]", "steps[0].share", "1 to 100"),
        ("steps = [{ share = 50 }, { share = 5 }]", "steps", "shares that rise"),
        ("steps = [{ share = 5, slots = 0 }]", "steps[0].slots", "at least 1"),
        ("steps = [{ share = 5, rate = 'often' }]", "steps.0.rate", "is not a rate"),
        ("soak = '0s'", "soak", "1s to 30days"),
        ("min_samples = 0", "min_samples", "1 to 1000000"),
        ("max_error_rate = 1.5", "max_error_rate", "0.0 to 1.0"),
        ("max_p95 = '2days'", "max_p95", "1ms to 1day"),
    ] {
        for table in ["pools.door", "kinds.greet"] {
            let faults = Given::file(&format!("[{table}.ramp]\n{wrong}")).faults();
            assert_eq!(faults.len(), 1, "{wrong}: {faults:?}");
            let is_named = faults[0].starts_with(&format!("{table}.ramp.{key}"));
            assert!(is_named && faults[0].contains(problem), "{wrong}: {faults:?}");
        }
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let faults = Given::file("[worker]\nconcurrency = = 3\n").faults();
    assert!(faults[0].starts_with("lockgate.toml: not TOML at line 2:"), "{faults:?}");
    let faults = Given::file("worker = 3").faults();
    assert!(faults[0].starts_with("worker = 3 (from lockgate.toml): invalid type: integer"), "{faults:?}");
    let faults = Given::file("[mail]\nports = [1, 'x']").faults();
    assert!(faults[0].starts_with("mail.ports.1 = \"x\""), "{faults:?}");
}

#[test]
fn times_of_leases_that_do_not_fit_together_are_refused_once() {
    let faults = Given::file("[slots]\nheartbeat = '7s'").faults();
    assert_eq!(faults.len(), 1);
    assert!(faults[0].starts_with("slots (from lockgate.toml): slot times need heartbeat <"), "{faults:?}");
}

#[test]
fn a_secret_is_neither_shown_nor_named_in_a_fault() {
    let loaded = Given::file("[vault]\npassword = 'hush'").load().unwrap();
    let shown = serde_json::to_string(&loaded.show()).unwrap();
    assert!(shown.contains("\"password\":\"***\"") && !shown.contains("hush"), "{shown}");
    assert!(!format!("{loaded:?}").contains("hush"), "{loaded:?}");
    for bad in ["'wrong'", "[9876]", "9876"] {
        let faults = Given::file(&format!("[vault]\npassword = {bad}")).faults();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].starts_with("vault.password"), "{faults:?}");
        assert!(!faults[0].contains("wrong") && !faults[0].contains("9876"), "{faults:?}");
    }
}

#[test]
fn the_template_changes_nothing_also_when_every_key_of_it_is_switched_on() {
    let given = Given::file("");
    let text = template(&given.sources.sections);
    assert_eq!(Given::file(&text).load().unwrap().settings, Settings::default());
    let keys = |line: &str| match line.strip_prefix("# ") {
        Some(header) if header.starts_with('[') => format!("{header}\n"),
        Some(key) if key.contains(" = ") && !key.contains(". ") => format!("{key}\n"),
        _ => format!("{line}\n"),
    };
    let on: String = text.lines().map(keys).collect();
    let loaded = Given::file(&on).load().unwrap_or_else(|error| panic!("{error}\n{on}"));
    let mut expected = Settings::default();
    expected.pools.insert("clickhouse".parse().unwrap(), crate::settings::PoolSettings::default());
    expected.kinds.insert("spike-projection".parse().unwrap(), crate::settings::KindSettings::default());
    assert_eq!(loaded.settings, expected);
    assert_eq!(loaded.section::<Mail>("mail").unwrap(), Mail::default());
    assert!(on.contains("concurrency = 64") && on.contains("ttl = \"15s\""), "{on}");
}

#[test]
fn the_schema_knows_the_sections_of_the_program_too() {
    let schema = schema(&[Section::of::<Mail>("mail")]);
    assert_eq!(schema.pointer("/properties/mail/properties/tries/type").unwrap(), "integer");
    assert_eq!(schema.pointer("/properties/runs/properties/batch_delay/type").unwrap(), "string");
}

#[test]
fn a_section_that_was_not_declared_is_not_there() {
    let mut given = Given::file("");
    given.sources.sections.clear();
    let error = given.load().unwrap().section::<Mail>("mail").unwrap_err();
    assert!(error.to_string().contains("declares no such section"), "{error}");
}

fn names(mut given: Given) -> Given {
    let pools = vec!["clickhouse".parse().unwrap(), "smtp".parse().unwrap()];
    let kinds = vec!["spike-projection".parse().unwrap(), "send-invoice".parse().unwrap()];
    given.sources.names = Names { pools, kinds };
    given
}

#[test]
fn a_name_that_nothing_uses_is_warned_of_with_the_one_that_was_meant() {
    let text =
        "[pools.smpt]\nslots = 1\n[pools.smtp]\n[kinds.send-invoise]\nrate = '1/s'\n[kinds.other-thing]";
    let given = names(Given::file(text))
        .env("LOCKGATE_WORKER__CONCURRENCY", "3")
        .env("LOCKGATE_RUNS_BATCH_SIZE", "3")
        .env("LOCKGATE_TEST_NIGHTLY", "1")
        .env("LOCKGATE__WORKER__GRACE", "1s");
    let folder = format!("{}/", given.folder.path().display());
    let loaded = given.load().unwrap();
    let told: Vec<String> = loaded.warnings().iter().map(|w| w.to_string().replace(&folder, "")).collect();
    assert_eq!(
        told,
        [
            "pools.smpt (from lockgate.toml): no job of this program uses this pool; did you mean \"smtp\"?",
            "kinds.other-thing: this program has no such kind; one of send-invoice, spike-projection",
            "kinds.send-invoise (from lockgate.toml): this program has no such kind; did you mean \"send-invoice\"?",
            "LOCKGATE_RUNS_BATCH_SIZE (from the environment): this variable sets nothing; did you mean LOCKGATE__RUNS__BATCH_SIZE?",
            "LOCKGATE_WORKER__CONCURRENCY (from the environment): this variable sets nothing; did you mean LOCKGATE__WORKER__CONCURRENCY?",
        ]
    );
    assert_eq!(Given::file("[pools.smpt]").load().unwrap().warnings(), [], "no names are known");
}

#[test]
fn an_underscore_of_the_environment_stands_for_a_hyphen_where_only_one_name_can_be_meant() {
    let variables = |given: Given| {
        given
            .env("LOCKGATE__KINDS__SPIKE_PROJECTION__RATE", "5/s")
            .env("LOCKGATE__KINDS__SEND_INVOICE__RATE", "6/s")
    };
    let kinds = |given: Given| -> Vec<String> {
        let kinds = &given.load().unwrap().settings.kinds;
        kinds.iter().map(|(name, kind)| format!("{name} {}", kind.rate.unwrap())).collect()
    };
    let text = "[kinds.spike-projection]\nrate = '1/s'\nburst = 3";
    let given = variables(names(Given::file(text))).flag("kinds.send-invoice.rate", "7/s");
    let loaded = given.load().unwrap();
    assert_eq!(loaded.settings.kinds.len(), 2);
    assert_eq!(loaded.warnings(), []);
    assert_eq!(
        loaded.settings.kinds[&"spike-projection".parse().unwrap()].burst,
        Some(3),
        "the file's stays"
    );
    assert_eq!(kinds(given), ["send-invoice 7/s", "spike-projection 5/s"]);
    // Nobody can say which of the two is meant.
    let ambiguous = names(Given::file("[kinds.'spike.projection']\nrate = '1/s'"));
    let spelled = ambiguous.env("LOCKGATE__KINDS__SPIKE_PROJECTION__RATE", "5/s");
    assert_eq!(kinds(spelled), ["spike.projection 1/s", "spike_projection 5/s"]);
}
