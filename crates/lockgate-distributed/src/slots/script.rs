//! The scripts, each an operation in a file of its own. A script must never be built from data: data are arguments.

use std::sync::LazyLock;

use redis::Script as Text;

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    Close,
    Details,
    Ensure,
    Found,
    Heartbeat,
    Inspect,
    /// `Inspect`, which a server that refuses writes refuses as well.
    Probe,
    Register,
    Release,
    Reset,
    Set,
}

// `#!lua`: a server that is out of memory refuses such a script whole, before its first command, instead of breaking it
// off half-way. What gives memory back, or keeps holders alive, goes on then.
macro_rules! script {
    ($flags:literal, $([$($easy:literal),+],)? $($part:literal),+) => {
        LazyLock::new(|| Text::new(concat!(
            "#!lua", $flags, "\n",
            include_str!("../../lua/slots/desk.lua"),
            $($(include_str!(concat!("../../lua/slots/", $easy, ".lua")),)+)?
            include_str!("../../lua/slots/books.lua"),
            include_str!("../../lua/slots/loss.lua"),
            include_str!("../../lua/slots/line.lua"),
            include_str!("../../lua/slots/grant.lua"),
            $(include_str!(concat!("../../lua/slots/", $part, ".lua"))),+
        )))
    };
}

static ACQUIRE: LazyLock<Text> =
    script!("", ["quick_acquire", "quick_enqueue"], "session", "admission", "acquire");
static CLOSE: LazyLock<Text> = script!(" flags=allow-oom", "close");
static DETAILS: LazyLock<Text> = script!(" flags=allow-oom", "details");
static ENSURE: LazyLock<Text> = script!("", "pool", "ensure");
static FOUND: LazyLock<Text> = script!("", "found");
static HEARTBEAT: LazyLock<Text> = script!(" flags=allow-oom", "session", "heartbeat");
static INSPECT: LazyLock<Text> = script!(" flags=allow-oom", "pool", "inspect");
static PROBE: LazyLock<Text> = script!("", "pool", "inspect");
static REGISTER: LazyLock<Text> = script!(" flags=allow-oom", "session", "register");
static RELEASE: LazyLock<Text> =
    script!(" flags=allow-oom", ["quick_release", "quick_grant"], "admission", "release");
static RESET: LazyLock<Text> = script!(" flags=allow-oom", "pool", "reset");
static SET: LazyLock<Text> = script!(" flags=allow-oom", "pool", "set");

impl Script {
    pub(super) const ALL: [Self; 12] = [
        Self::Acquire,
        Self::Close,
        Self::Details,
        Self::Ensure,
        Self::Found,
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
            Self::Found => &FOUND,
            Self::Heartbeat => &HEARTBEAT,
            Self::Inspect => &INSPECT,
            Self::Probe => &PROBE,
            Self::Register => &REGISTER,
            Self::Release => &RELEASE,
            Self::Reset => &RESET,
            Self::Set => &SET,
        }
    }

    /// What we are doing, in errors.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Acquire => "asking for slots",
            Self::Close => "closing a session",
            Self::Ensure | Self::Set | Self::Reset => "changing a pool",
            Self::Found => "founding the slot store",
            Self::Heartbeat => "sending a heartbeat",
            Self::Details | Self::Inspect => "reading the pools",
            Self::Probe => "checking that slots can be granted",
            Self::Register => "registering leases again",
            Self::Release => "releasing slots",
        }
    }
}
