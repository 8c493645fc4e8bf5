//! SQLite's result codes (sqlite.org/rescode.html), as far as the engine distinguishes them.

pub(super) const PERMISSION: u8 = 3;
const ABORT: u8 = 4;
pub(super) const BUSY: u8 = 5;
pub(super) const LOCKED: u8 = 6;
const NO_MEMORY: u8 = 7;
pub(super) const READ_ONLY: u8 = 8;
const INTERRUPTED: u8 = 9;
const IO: u8 = 10;
pub(super) const CORRUPT: u8 = 11;
pub(super) const FULL: u8 = 13;
pub(super) const CANNOT_OPEN: u8 = 14;
const LOCK_PROTOCOL: u8 = 15;
const SCHEMA_CHANGED: u8 = 17;
pub(super) const NOT_A_DATABASE: u8 = 26;

/// Returns the primary result code of an error; `None` when the error does not come from SQLite.
pub(super) fn of(error: &sqlx::Error) -> Option<u8> {
    let extended: u32 = error.as_database_error()?.code()?.parse().ok()?;
    u8::try_from(extended & 0xff).ok()
}

/// Returns whether another connection holds the lock.
pub(super) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(of(error), Some(BUSY | LOCKED))
}

/// Returns whether a retry of the same statement may succeed.
pub(super) fn is_transient(code: u8) -> bool {
    [ABORT, BUSY, LOCKED, NO_MEMORY, INTERRUPTED, IO, CANNOT_OPEN, LOCK_PROTOCOL, SCHEMA_CHANGED]
        .contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transient_and_permanent_result_codes_are_distinguished() {
        // ABORT, BUSY, LOCKED, NOMEM, INTERRUPT, IOERR, CANTOPEN, PROTOCOL, SCHEMA. A full disk (13) is an
        // error of its own.
        let transient = [4, 5, 6, 7, 9, 10, 14, 15, 17];
        // ERROR, INTERNAL, PERM, READONLY, CORRUPT, TOOBIG, CONSTRAINT, MISMATCH, MISUSE, NOLFS, AUTH, RANGE,
        // NOTADB.
        let permanent = [1, 2, 3, 8, 11, 18, 19, 20, 21, 22, 23, 25, 26];
        assert_eq!(transient.map(is_transient), [true; 9]);
        assert_eq!(permanent.map(is_transient), [false; 13]);
    }
}
