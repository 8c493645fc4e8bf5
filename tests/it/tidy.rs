//! The rules of the house, held by a test: edges between crates, heads and lengths of files, no sleeping in
//! tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use cargo_metadata::{DependencyKind, MetadataCommand};
use support::{Context, Result};

use crate::files::{files, is_test, root};

/// Which of the workspace's crates each crate may depend on, outside its tests. A new edge is a design
/// change: it needs a reason in ARCHITECTURE.md.
const EDGES: &[(&str, &[&str])] = &[
    ("lockgate-core", &[]),
    ("lockgate-limits", &[]),
    ("lockgate-runtime", &["lockgate-core", "lockgate-limits"]),
    ("lockgate-embedded", &["lockgate-core", "lockgate-limits"]),
    ("lockgate-distributed", &["lockgate-core", "lockgate-limits"]),
    (
        "lockgate",
        &[
            "lockgate-core",
            "lockgate-limits",
            "lockgate-runtime",
            "lockgate-embedded",
            "lockgate-distributed",
        ],
    ),
    ("lockgate-cli", &["lockgate"]),
    ("spike-projection", &["lockgate", "lockgate-cli"]),
    ("lockgate-tests", &["lockgate"]),
    ("lockgate-bench", &["lockgate", "lockgate-cli"]),
    ("lockgate-benches", &[]),
];

/// Dependencies that a crate must never have, whatever the reason.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("lockgate-core", &["tokio", "sqlx", "tracing", "serde_json"]),
    ("lockgate-limits", &["sqlx", "redis", "serde", "tracing"]),
    ("lockgate-runtime", &["sqlx", "clap", "redis", "lapin"]),
    ("lockgate", &["clap", "axum"]),
    ("lockgate-cli", &["sqlx"]),
];

/// The longest file, its tests not counted.
const LONGEST_FILE: usize = 300;

#[test]
fn crates_depend_on_each_other_as_the_architecture_draws_it() -> Result {
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec()?;
    let names: BTreeSet<&str> = metadata.packages.iter().map(|p| p.name.as_str()).collect();
    let edges: BTreeMap<&str, &[&str]> = EDGES.iter().copied().collect();
    assert_eq!(names, edges.keys().copied().collect(), "a crate that the list of edges does not know");
    for package in &metadata.packages {
        let normal: Vec<&str> = package
            .dependencies
            .iter()
            .filter(|d| d.kind == DependencyKind::Normal)
            .map(|d| d.name.as_str())
            .collect();
        let allowed = edges[package.name.as_str()];
        for name in normal.iter().filter(|n| names.contains(**n)) {
            assert!(allowed.contains(name), "{} must not depend on {name}", package.name);
        }
        let forbidden =
            FORBIDDEN.iter().find(|(of, _)| *of == package.name.as_str()).map_or(&[][..], |(_, f)| f);
        for name in forbidden {
            assert!(!normal.contains(name), "{} must never depend on {name}", package.name);
        }
    }
    Ok(())
}

#[test]
fn every_file_says_what_it_is_and_none_is_too_long() -> Result {
    let mut bad = Vec::new();
    for file in rust_files()? {
        let text = std::fs::read_to_string(&file)?;
        if !text.starts_with("//!") {
            bad.push(format!("{} does not begin with //!", file.display()));
        }
        let lines = lines_without_tests(&text);
        if lines > LONGEST_FILE && !is_test(&file) {
            bad.push(format!("{} has {lines} lines, at most {LONGEST_FILE}", file.display()));
        }
        if file.file_name().is_some_and(|name| name == "mod.rs") {
            bad.push(format!("{}: `foo.rs` next to `foo/`, never mod.rs", file.display()));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
    Ok(())
}

/// Lines outside the inline test modules, wherever those stand. `mod tests;` is a line like any other, and
/// what follows it counts.
fn lines_without_tests(text: &str) -> usize {
    let (mut count, mut lines) = (0, text.lines().peekable());
    while let Some(line) = lines.next() {
        count += 1;
        if line != "#[cfg(test)]" {
            continue;
        }
        let mut head = 1;
        while lines.next_if(|line| line.starts_with("#[")).is_some() {
            head += 1;
        }
        if lines.next_if(|line| line.starts_with("mod ") && line.ends_with('{')).is_some() {
            count -= 1;
            // rustfmt puts the end of the module, and nothing else of it, at the edge.
            lines.by_ref().find(|line| *line == "}");
        } else {
            count += head - 1;
        }
    }
    count
}

#[test]
fn only_inline_tests_are_left_out_of_a_files_length() {
    let code = "fn f() {}\n".repeat(301);
    let inline = "#[cfg(test)]\n#[cfg(not(loom))]\nmod tests {\n    fn t() {\n    }\n}\n";
    assert_eq!(lines_without_tests(&format!("//!\n{code}{inline}")), 302);
    assert_eq!(lines_without_tests(&format!("//!\n{inline}{code}")), 302);
    assert_eq!(lines_without_tests(&format!("//!\n#[cfg(test)]\nmod tests;\n{code}")), 304);
    assert_eq!(lines_without_tests(&format!("#[cfg(test)]\nuse std::fmt;\n{code}")), 303);
}

#[test]
fn no_file_is_named_for_nothing() -> Result {
    for file in rust_files()? {
        let stem = file.file_stem().context("a file without a name")?.to_string_lossy().into_owned();
        assert!(
            !["utils", "util", "common", "helpers", "manager", "misc"].contains(&stem.as_str()),
            "{file:?}"
        );
    }
    Ok(())
}

#[test]
fn tests_wait_for_events_and_take_no_naps() -> Result {
    for file in rust_files()? {
        let text = std::fs::read_to_string(&file)?;
        let tests = if is_test(&file) {
            text.as_str()
        } else {
            text.split_once("\n#[cfg(test)]\n").map_or("", |s| s.1)
        };
        // `eventually` waits between two looks, and a paused clock makes a sleep a step; both say so.
        let told = |line: &str| line.contains("// eventually") || line.contains("// virtual time");
        // A server that is told to take its time is what is tested, and no nap.
        let nap = |line: &str| {
            line.contains("sleep(") && !line.contains("pg_sleep(") && !line.contains("SELECT sleep(")
        };
        let naps = tests.lines().filter(|line| nap(line) && !told(line));
        let naps: Vec<&str> = naps.filter(|line| !line.contains("contains(\"")).collect();
        assert!(naps.is_empty(), "{}: {naps:?}", file.display());
    }
    Ok(())
}

#[test]
fn every_sql_and_lua_file_says_what_it_does() -> Result {
    for file in files("sql")?.into_iter().chain(files("lua")?) {
        let text = std::fs::read_to_string(&file)?;
        assert!(text.starts_with("--"), "{} does not begin with a comment", file.display());
    }
    Ok(())
}

fn rust_files() -> Result<Vec<PathBuf>> {
    let found = files("rs")?;
    assert!(!found.is_empty(), "no .rs files found: the test looks in the wrong place");
    Ok(found)
}
