//! Tests of the classification of errors.

use super::*;

const PASSING: [&str; 25] = [
    "08000", "08001", "08003", "08004", "08006", "08P01", // connections, those of a pooler included
    "25006", "25P03", "25P04", // read-only for now; idle or too long in a transaction
    "40001", "40003", "40P01", // collisions with other transactions
    "53000", "53100", "53200", "53300", // disk, memory, connections
    "55006", "55P03", // in use; locked
    "57014", "57P01", "57P02", "57P03", "57P05", // time-out, shutdown, crash, start, idle
    "58000", "58030", // system and I/O errors
];

const LASTING: [&str; 23] = [
    "0A000", "22001", "22003", "22021", "23502", "23503", "23505", "23514", // values and constraints
    "25P02", "26000", "28000", "28P01", "3D000", "3F000", // a failed transaction; who may not enter
    "40002", "42501", "42601", "42P01", "53400", "55000", "57P04", "58P01",
    "XX001", // rights, names, damage
];

#[test]
fn transient_and_permanent_conditions_are_distinguished() {
    for passing in PASSING {
        assert!(passes(passing), "{passing}");
    }
    for lasting in LASTING {
        assert!(!passes(lasting), "{lasting}");
    }
}

#[test]
fn broken_connection_and_pool_timeout_are_transient() {
    for error in [sqlx::Error::PoolTimedOut, sqlx::Error::Io(std::io::ErrorKind::BrokenPipe.into())] {
        assert!(store("testing", error).is_transient());
    }
    assert!(!store("testing", sqlx::Error::RowNotFound).is_transient());
    assert!(timed_out("testing", 5).is_transient());
}
