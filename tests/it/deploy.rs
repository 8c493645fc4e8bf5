//! Properties of the files in `deploy/` that can be checked without a container engine.

use std::path::Path;

use support::{Context, Result};

fn read(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

/// Returns the lines below `head` that are indented deeper, without comments.
fn block<'a>(yaml: &'a str, head: &str) -> Vec<&'a str> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut lines = yaml.lines().skip_while(|line| *line != head);
    let depth = lines.next().map_or(0, indent);
    let lines = lines.filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    lines.take_while(|line| indent(line) > depth).map(str::trim).collect()
}

#[test]
fn containers_of_our_image_cannot_write_files_or_gain_rights() -> Result {
    let compose = read("deploy/compose.yaml")?;
    let worker = block(&compose, "x-worker: &worker");
    for rule in ["read_only: true", "cap_drop: [ALL]", "security_opt: [\"no-new-privileges:true\"]"] {
        assert!(worker.contains(&rule), "x-worker lacks {rule}: {worker:#?}");
    }
    let services = block(&compose, "services:");
    let ours = ["migrate", "worker"];
    for service in ours {
        let lines = block(&compose, &format!("  {service}:"));
        assert!(lines.contains(&"<<: *worker"), "{service} does not inherit x-worker: {lines:#?}");
        let weakened = ["read_only", "cap_drop", "cap_add", "security_opt", "privileged", "user"];
        assert!(!lines.iter().any(|line| weakened.iter().any(|key| line.starts_with(key))), "{lines:#?}");
    }
    let uses = services.iter().filter(|line| **line == "<<: *worker" || line.contains("spike-projection"));
    assert_eq!(uses.count(), ours.len(), "add the new service of our image to this test");
    Ok(())
}

#[test]
fn build_context_has_all_sources_and_no_secret() -> Result {
    let ignored = read(".dockerignore")?;
    let rules: Vec<&str> = ignored.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules.first(), Some(&"*"), "everything is excluded except for the listed exceptions");
    let mut allowed: Vec<&str> = rules.iter().filter_map(|rule| rule.strip_prefix('!')).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["Cargo.lock", "Cargo.toml", "benches", "crates", "migrations", "tests", "workers"]);
    let last = rules.iter().rposition(|rule| rule.starts_with('!')).context("no exception")?;
    for secret in ["**/target", "**/*.db", "**/*.db-*", "**/.env*", "**/lockgate.toml", "**/secrets"] {
        let position = rules.iter().position(|rule| *rule == secret);
        assert!(
            position.is_some_and(|position| position > last),
            "{secret} is not excluded after the exceptions"
        );
    }
    for name in allowed {
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).exists(),
            "{name} does not exist"
        );
    }
    Ok(())
}

#[test]
fn image_is_stripped_and_its_debug_information_is_kept() -> Result {
    let dockerfile = read("deploy/Dockerfile")?;
    let position = |step: &str| dockerfile.find(step).with_context(|| format!("{step} is missing"));
    let (keep, strip) = (position("objcopy --only-keep-debug")?, position("strip --strip-all")?);
    let (link, run) = (position("objcopy --add-gnu-debuglink")?, position("FROM debian")?);
    assert!(keep < strip && strip < link && link < run);
    let (_, image) = dockerfile.split_at(run);
    assert!(image.contains("\nUSER lockgate\n") && !image.contains(".debug"), "{image}");
    // Without these settings the binary would have no debug information to keep.
    assert!(
        read("Cargo.toml")?.contains("[profile.release]\n")
            && read("Cargo.toml")?.contains("line-tables-only")
    );
    Ok(())
}
