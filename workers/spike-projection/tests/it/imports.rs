//! Damaged, foreign and contradictory input files. Each is rejected with its exit code and a message that
//! names the line, and nothing of it is imported.

use std::path::Path;
use std::process::Command;

use support::servers::{ask_clickhouse, create_clickhouse_database, shared_clickhouse};

use crate::folder::Folder;

/// Returns the path of a file in `tests/data`.
fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

impl Folder {
    /// Returns the ids of the imported organizations.
    fn organizations(&self) -> Vec<String> {
        let listed = self.json(&["orgs", "list"]);
        let id = |row: &serde_json::Value| row["organization_id"].as_str().unwrap().to_owned();
        listed["organizations"].as_array().unwrap().iter().map(id).collect()
    }

    /// Imports an organization with these projects.
    fn with_projects(self, projects: &[&str]) -> Self {
        let rows = projects.iter().map(|project| format!("1,{project}\n")).collect::<String>();
        let file = self.file("projects.csv", format!("organization_id,project\n{rows}"));
        self.json(&["orgs", "import", &file]);
        self
    }

    /// Returns the number of known hours.
    fn known_hours(&self) -> i64 {
        self.number("SELECT count(*) FROM known_hours")
    }

    /// Returns the usage that all projects accepted in this hour.
    fn accepted(&self, hour: i64) -> i64 {
        self.number(&format!("SELECT sum(accepted) FROM hourly_usage WHERE hour = {hour}"))
    }

    fn number(&self, query: &str) -> i64 {
        let output =
            Command::new("sqlite3").arg(self.path().join("lockgate.db")).arg(query).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }
}

#[test]
fn damaged_organizations_are_rejected_with_their_line_and_nothing_is_imported() {
    let folder = Folder::new();
    for (name, expected) in [
        ("unclosed_quote.csv", "unclosed_quote.csv, line 2: a quote opens here"),
        (
            "stray_quotes.csv",
            "stray_quotes.csv, line 2: a quote opens here, and the one that closes it, on line 3,",
        ),
        ("ids_above_u64.jsonl", "line 1: column organization_id: is a fraction, or an integer above 2^64-1"),
        ("float_id.jsonl", "float_id.jsonl, line 2: column organization_id: is a fraction"),
        ("array.json", "array.json is a JSON array; give one JSON object a line, as `jq -c '.[]' FILE`"),
    ] {
        folder.refused(&["orgs", "import", &data(name)], 65, expected);
    }
    for (line, expected) in [
        (r#"{"organization_id":true}"#, "line 2: column organization_id: is true or false"),
        (r#"{"organization_id":[1]}"#, "line 2: column organization_id: is a list"),
        (r#"{"organization_id":{"id":1}}"#, "line 2: column organization_id: is an object"),
        (
            r#"{"organization_id":2,"slug":"a\u001b]0;title\u0007b"}"#,
            "line 2: column slug: \"a\\u{1b}]0;title",
        ),
        (r#"{"organization_id":2,"slug":"a\u0000b"}"#, "line 2: column slug"),
        (r#"{"organization_id":2,"organization_id":3}"#, "line 2: the column organization_id is there twice"),
    ] {
        let file = folder.file("bad.jsonl", format!("{{\"organization_id\":1}}\n{line}\n"));
        folder.refused(&["orgs", "import", &file], 65, expected);
    }
    let slug = folder.file("slug.csv", format!("organization_id,slug\n1,{}\n", "x".repeat(201)));
    folder.refused(
        &["orgs", "import", &slug],
        65,
        "line 2: column slug: has 201 bytes; at most 200 are allowed",
    );
    let huge = folder.file("huge.csv", format!("organization_id,slug\n1,\"a\n{}", "2,b\n".repeat(400_000)));
    folder.refused(
        &["orgs", "import", &huge],
        65,
        "line 2: a quote opens here and is not closed within a megabyte",
    );
    assert!(folder.organizations().is_empty());
}

#[test]
fn properly_closed_quotes_may_contain_commas_quotes_and_line_ends() {
    let folder = Folder::new();
    let file = folder
        .file("orgs.csv", "organization_id,project,slug\r\n1,p1,\"Acme, \"\"A\"\"\"\r\n\r\n2,\"p2\",b\r\n");
    assert_eq!(folder.json(&["orgs", "import", &file])["lines"], 2);
    assert_eq!(folder.json(&["orgs", "list"])["organizations"][0]["slug"], "Acme, \"A\"");
}

#[test]
fn foreign_encodings_are_named_and_a_byte_order_mark_is_skipped() {
    let folder = Folder::new();
    let utf16: Vec<u8> = "\u{feff}organization_id\n1\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        (utf16.as_slice(), "is UTF-16 text; convert it with `iconv -f UTF-16 -t UTF-8`"),
        (&utf16[2..], "is UTF-16 or binary; convert it"),
        (b"\x1f\x8b\x08\x00\x00", "is compressed with gzip; pipe it in with `zcat FILE |`"),
        (b"organization_id\n1\n\xff\n", "line 3: is not UTF-8 text"),
    ] {
        let file = folder.file("foreign", bytes);
        folder.refused(&["orgs", "import", &file], 65, expected);
        if bytes != b"organization_id\n1\n\xff\n" {
            folder.refused(&["enqueue", "--orgs", &file], 65, expected);
        }
    }
    assert!(folder.organizations().is_empty());
    folder.json(&["orgs", "import", &data("bom.jsonl")]);
    assert_eq!(folder.organizations(), ["1"]);
}

#[test]
fn damaged_usage_is_rejected_and_nothing_is_imported() {
    let folder = Folder::new().with_projects(&["p1", "grid"]);
    for (name, expected) in [
        ("duplicate_column.csv", "duplicate_column.csv, line 1: the column accepted is there twice"),
        ("duplicate_key.jsonl", "duplicate_key.jsonl, line 1: the column accepted is there twice"),
        (
            "fall_back_hour.csv",
            "fall_back_hour.csv, line 9: column hour: lines 8 and 9 are both about 2017-11-05T02:00Z",
        ),
    ] {
        folder.refused(&["usage", "import", &data(name)], 65, expected);
    }
    assert_eq!(folder.known_hours(), 0);
}

#[test]
fn two_lines_for_one_hour_are_rejected_or_merged_as_chosen_however_far_apart() {
    let folder = Folder::new().with_projects(&["1"]);
    let mut text = String::from("project,hour,accepted\n");
    for n in 0..5_000_u32 {
        let (day, hour) = (n / 24, n % 24);
        text += &format!("1,2026-{:02}-{:02}T{hour:02}:00:00Z,5\n", 1 + day / 28, 1 + day % 28);
    }
    let file = folder.file("usage.csv", format!("{text}1,2026-01-01T00:00:00Z,6\n"));
    let expected = "line 5002: column hour: lines 2 and 5002 are both about 2026-01-01T00:00Z of project \"1\", errors: 5 accepted \
                and 0 dropped, then 6 and 0";
    folder.refused(&["usage", "import", &file], 65, expected);
    assert_eq!(folder.known_hours(), 0);
    for (choice, wanted) in [("last", 6), ("sum", 11)] {
        let imported = folder.json(&["usage", "import", "--on-duplicate", choice, &file]);
        assert_eq!((&imported["lines"], &imported["hours"]), (&5_001.into(), &5_000.into()));
        assert_eq!(folder.accepted(490_896), wanted, "{choice}");
    }
}

#[cfg(unix)]
#[test]
fn pipes_and_process_substitutions_can_be_imported() {
    let folder = Folder::new();
    folder.file("orgs.csv", "organization_id,project\n1,p1\n");
    folder.file("usage.csv", "project,hour,accepted\np1,2026-11-22T08,1\n");
    let program = env!("CARGO_BIN_EXE_spike-projection");
    for command in
        ["orgs import <(cat orgs.csv)", "usage import <(cat usage.csv)", "enqueue --orgs <(echo 1)"]
    {
        let output = Command::new("bash")
            .args(["-c", &format!("'{program}' {command}")])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!((folder.organizations(), folder.known_hours()), (vec!["1".to_owned()], 1));
}

/// A database of its own on a real server.
struct TestDatabase {
    server: String,
    database: String,
    url: String,
}

impl TestDatabase {
    /// Returns `None` if no server is installed. The skipped test is reported; in CI this is an error.
    fn find() -> Option<Self> {
        let server = shared_clickhouse().unwrap()?;
        let database = format!("imports_{}", uuid::Uuid::now_v7().simple());
        let url = create_clickhouse_database(&server, &database).unwrap();
        Some(Self { server, database, url })
    }

    fn rows(&self) -> String {
        let query = format!("SELECT count() FROM {}.usage_hourly", self.database);
        ask_clickhouse(&self.server, &query).unwrap().trim().to_owned()
    }

    fn import(&self, file: &str, more: &[&str]) -> Vec<String> {
        let set = format!("spike_projection.clickhouse.url={}", self.url);
        let all = [&["--set", &set, "usage", "import", "--to", "clickhouse", file], more].concat();
        all.into_iter().map(str::to_owned).collect()
    }
}

fn refs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// Returns a header and `n` hours of project 1.
fn hours(n: u32) -> String {
    let hour = |n: u32| {
        format!(
            "1,20{:02}-{:02}-{:02}T{:02}:00:00Z,5\n",
            20 + n / 8_064,
            1 + n / 672 % 12,
            1 + n / 24 % 28,
            n % 24
        )
    };
    "project,hour,accepted\n".to_owned() + &(0..n).map(hour).collect::<String>()
}

#[test]
fn clickhouse_stores_nothing_of_a_file_that_contradicts_itself_or_the_table() {
    let Some(database) = TestDatabase::find() else { return };
    let folder = Folder::new().with_projects(&["1"]);
    let late = folder.file("late.csv", std::fs::read(data("hour_2107.csv")).unwrap());
    let expected =
        "line 2: column hour: 2107-01-01T00:00Z is out of range; ClickHouse's DateTime holds hours from";
    folder.refused(&refs(&database.import(&late, &[])), 65, expected);
    let early = folder.file("early.csv", "project,hour,accepted\n1,1969-12-31T23:00:00Z,5\n");
    folder.refused(
        &refs(&database.import(&early, &[])),
        65,
        "line 2: column hour: 1969-12-31T23:00Z is out of range",
    );

    let twice = folder.file("twice.csv", hours(11_000) + "1,2020-01-01T00:00:00Z,6\n");
    let expected = "lines 2 and 11002 are both about 2020-01-01T00:00Z of project \"1\"";
    folder.refused(&refs(&database.import(&twice, &[])), 65, expected);
    // Standard input is read several times, as a file is.
    let piped = folder.run_with(&refs(&database.import("-", &[])), &std::fs::read_to_string(&twice).unwrap());
    assert_eq!(piped.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&piped.stderr).contains(expected));
    assert_eq!(database.rows(), "0");

    let summed = folder.json(&refs(&database.import(&twice, &["--on-duplicate", "sum"])));
    assert_eq!(
        (&summed["lines"], &summed["hours"], &summed["new"]),
        (&11_001.into(), &11_000.into(), &11_000.into())
    );
    // Only the first hour differs from the table. It is last in this file, and no hour before it must be
    // written.
    let more = folder.file(
        "more.csv",
        hours(12_000).replacen("1,2020-01-01T00:00:00Z,5\n", "", 1) + "1,2020-01-01T00:00:00Z,5\n",
    );
    folder.refused(
        &refs(&database.import(&more, &[])),
        65,
        "in 2020-01-01T00:00Z and the table has 11 (0 dropped)",
    );
    assert_eq!(database.rows(), "11000");
}

#[test]
fn sql_stores_hours_that_clickhouse_cannot() {
    let folder = Folder::new().with_projects(&["1"]);
    assert_eq!(folder.json(&["usage", "import", &data("hour_2107.csv")])["hours"], 1);
    assert_eq!(folder.accepted(1_200_912), 5);
}
