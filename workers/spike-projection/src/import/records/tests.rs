//! Valid and invalid records of both formats.

use super::*;

const COLUMNS: &[Column] = &[Column::required("id"), Column::optional("n")];

fn all(text: &'static str) -> Result<Vec<(String, Option<u64>)>, String> {
    let read = || {
        let mut records = Records::open("f", Box::new(text.as_bytes()), COLUMNS, UnknownColumns::Refuse)?;
        let mut all = Vec::new();
        while let Some(record) = records.next_record()? {
            all.push((record.text("id").unwrap().to_owned(), record.count("n")?));
        }
        Ok(all)
    };
    read().map_err(|problem: Problem| {
        assert_eq!(problem.exit(), Exit::Data);
        problem.to_string()
    })
}

#[test]
fn csv_and_json_lines_read_the_same() {
    let expected = Ok(vec![("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
    assert_eq!(all("n,id\n1, a\n,b\n"), expected);
    assert_eq!(all("\u{feff}id,n\r\na,1\r\nb,\r\n"), expected);
    assert_eq!(all("{\"id\":\"a\",\"n\":1}\n\n{\"id\":\"b\",\"n\":null}"), expected);
}

#[test]
fn bad_line_is_reported_with_column_value_and_hint() {
    for (text, expected) in [
        ("", "f is empty"),
        ("  \n", "f is empty"),
        ("n\n1\n", "f, line 1: the column id is missing; there are id, n"),
        ("id,m\na,1\n", "f, line 1: there is no column \"m\"; there are id, n"),
        (
            "id,n\na,1\nb,x\n",
            "f, line 3: column n: \"x\" is not a whole number of 0 or more; write digits alone",
        ),
        ("id,n\na,-1\n", "f, line 2: column n: \"-1\" is not a whole number"),
        ("id,n\na,9223372036854775808\n", "f, line 2: column n: is larger than"),
        ("id,n\n,1\n", "f, line 2: column id: is missing"),
        ("id,n\na\n", "f, line 2"),
        ("{\"id\":\"a\"}\n{\"id\"", "f, line 2"),
        ("{\"id\":\"a\",\"m\":1}", "f, line 1: there is no column \"m\""),
        ("{\"n\":1}", "f, line 1: column id: is missing"),
    ] {
        let error = all(text).unwrap_err();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn text_that_is_not_utf8_is_rejected_with_its_line() {
    let bytes: &'static [u8] = b"id,n\na,1\n\xff\xfe,2\n";
    let mut records = Records::open("f", Box::new(bytes), COLUMNS, UnknownColumns::Refuse).unwrap();
    records.next_record().unwrap();
    assert!(records.next_record().unwrap_err().to_string().contains("f, line 3"));
}

#[test]
fn broken_quotes_are_rejected_on_the_line_where_the_quote_opens() {
    for (text, expected) in [
        ("id,n\na,1\nb,\"2\nc,3\n", "f, line 3: a quote opens here and is not closed"),
        ("id,n\n\"a,1\nb\"x,2\n", "f, line 2: a quote opens here, and the one that closes it, on line 3,"),
        ("id,n\n\"a\" ,1\n", "f, line 2: a quote opens here, and the one that closes it, on line 2,"),
        ("id,n\na\"b,1\n", "f, line 2: a quote in the middle of a value"),
        ("id,n\n \"a\",1\n", "f, line 2: a quote in the middle of a value"),
        ("\"id,n\na,1\n", "f, line 1: a quote opens here and is not closed"),
        ("id,n\ra,1\r", "f, line 1: a carriage return that does not end a line"),
    ] {
        let error = all(text).unwrap_err();
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
    assert_eq!(
        all("id,n\r\n\"a\n\"\"b\",\"1\"\r\n\r\nc,\n"),
        Ok(vec![("a\n\"b".to_owned(), Some(1)), ("c".to_owned(), None)])
    );
    assert_eq!(all("id,n\n\"\",1\n").unwrap_err(), "f, line 2: column id: is missing; every line needs it");
}

#[test]
fn line_of_a_record_is_counted_across_values_that_span_lines() {
    let error = all("id,n\n\"a\n\n\",1\n\nb,x\n").unwrap_err();
    assert!(error.starts_with("f, line 6: column n: \"x\""), "{error}");
}

#[test]
fn records_and_values_have_a_largest_size() {
    let endless = Box::leak(format!("id,n\n{}", "x".repeat(3 << 20)).into_boxed_str());
    assert_eq!(all(endless).unwrap_err(), "f, line 2: the line has more than a megabyte");
    let many_lines = Box::leak(format!("id,n\na,\"{}", "x\n".repeat(1 << 20)).into_boxed_str());
    assert!(all(many_lines).unwrap_err().starts_with("f, line 2: a quote opens here"));
    let long = Box::leak(format!("{{\"id\":\"{}\"}}", "x".repeat(1_001)).into_boxed_str());
    assert_eq!(all(long).unwrap_err(), "f, line 1: column id: has 1001 bytes; a value has at most 1000");
    let name = Box::leak(format!("id,{}\na,1\n", "x".repeat(1_000)).into_boxed_str());
    assert!(all(name).unwrap_err().len() < 200);
}

#[test]
fn pipe_that_delivers_single_bytes_is_recognized() {
    struct Slow(&'static [u8]);
    impl io::Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(1);
            io::Read::read(&mut self.0, &mut into[..most])
        }
    }
    let slow = io::BufReader::with_capacity(1, Slow(b"\xef\xbb\xbf\n\n{\"id\":18446744073709551615}\n"));
    let mut records = Records::open("f", Box::new(slow), COLUMNS, UnknownColumns::Refuse).unwrap();
    let record = records.next_record().unwrap().unwrap();
    assert_eq!((record.line(), record.text("id")), (3, Some("18446744073709551615")));
}

#[test]
fn ignored_columns_may_hold_any_value() {
    let text: &[u8] = b"{\"id\":\"a\",\"else\":[1.5,{\"x\":true}],\"else\":false}\n";
    let mut records = Records::open("f", Box::new(text), COLUMNS, UnknownColumns::Ignore).unwrap();
    assert_eq!(records.next_record().unwrap().unwrap().text("id"), Some("a"));
}
