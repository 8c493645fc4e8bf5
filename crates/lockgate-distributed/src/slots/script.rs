//! The scripts of the slot store, one operation each.
//!
//! A script is concatenated from fixed files and never built from data: data are passed as arguments.

use std::sync::LazyLock;

use redis::Script as Text;

/// An operation of the slot store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    Close,
    Details,
    Ensure,
    Initialize,
    Heartbeat,
    Inspect,
    /// `Inspect` without `allow-oom`: a server that refuses writes refuses this as well.
    Probe,
    Register,
    Release,
    Reset,
    Set,
}

// A server that is out of memory refuses a `#!lua` script as a whole, before its first command, instead of
// stopping it half-way. Scripts that free memory or keep holders alive have `allow-oom`, so they still run
// then.
macro_rules! script {
    ($flags:literal, $([$($fast:literal),+],)? $($part:literal),+) => {
        LazyLock::new(|| Text::new(concat!(
            "#!lua", $flags, "\n",
            include_str!("../../lua/slots/prologue.lua"),
            $($(include_str!(concat!("../../lua/slots/", $fast, ".lua")),)+)?
            include_str!("../../lua/slots/pools_and_leases.lua"),
            include_str!("../../lua/slots/recovery.lua"),
            include_str!("../../lua/slots/wait_queue.lua"),
            include_str!("../../lua/slots/waiters.lua"),
            include_str!("../../lua/slots/head_updates.lua"),
            include_str!("../../lua/slots/grant_order.lua"),
            include_str!("../../lua/slots/grant.lua"),
            include_str!("../../lua/slots/expiry.lua"),
            $(include_str!(concat!("../../lua/slots/", $part, ".lua"))),+
        )))
    };
}

static ACQUIRE: LazyLock<Text> =
    script!("", ["fast_acquire", "fast_enqueue"], "session", "admission", "acquire");
static CLOSE: LazyLock<Text> = script!(" flags=allow-oom", "close");
static DETAILS: LazyLock<Text> = script!(" flags=allow-oom", "details");
static ENSURE: LazyLock<Text> = script!("", "pool", "ensure");
static INITIALIZE: LazyLock<Text> = script!("", "initialize");
static HEARTBEAT: LazyLock<Text> = script!(" flags=allow-oom", "session", "heartbeat");
static INSPECT: LazyLock<Text> = script!(" flags=allow-oom", "pool", "inspect");
static PROBE: LazyLock<Text> = script!("", "pool", "inspect");
static REGISTER: LazyLock<Text> = script!(" flags=allow-oom", "session", "register");
static RELEASE: LazyLock<Text> =
    script!(" flags=allow-oom", ["fast_release", "fast_grant"], "admission", "release");
static RESET: LazyLock<Text> = script!(" flags=allow-oom", "pool", "reset");
static SET: LazyLock<Text> = script!(" flags=allow-oom", "pool", "set");

impl Script {
    pub(super) const ALL: [Self; 12] = [
        Self::Acquire,
        Self::Close,
        Self::Details,
        Self::Ensure,
        Self::Initialize,
        Self::Heartbeat,
        Self::Inspect,
        Self::Probe,
        Self::Register,
        Self::Release,
        Self::Reset,
        Self::Set,
    ];

    pub(super) fn text(self) -> &'static Text {
        match self {
            Self::Acquire => &ACQUIRE,
            Self::Close => &CLOSE,
            Self::Details => &DETAILS,
            Self::Ensure => &ENSURE,
            Self::Initialize => &INITIALIZE,
            Self::Heartbeat => &HEARTBEAT,
            Self::Inspect => &INSPECT,
            Self::Probe => &PROBE,
            Self::Register => &REGISTER,
            Self::Release => &RELEASE,
            Self::Reset => &RESET,
            Self::Set => &SET,
        }
    }

    /// Returns what the call does, for error messages.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Acquire => "requesting slots",
            Self::Close => "closing a session",
            Self::Ensure | Self::Set | Self::Reset => "changing a pool",
            Self::Initialize => "initializing the slot store",
            Self::Heartbeat => "sending a heartbeat",
            Self::Details | Self::Inspect => "reading the pools",
            Self::Probe => "checking that slots can be granted",
            Self::Register => "registering leases again",
            Self::Release => "releasing slots",
        }
    }
}
