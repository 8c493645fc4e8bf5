//! What this process calls itself to others: in leases, in the names of its connections, in logs.
//!
//! The name is not an identity: two containers may have the same name.

/// The host's name and the process's number, `host:4711`.
#[must_use]
pub fn process_name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", std::process::id())
}
