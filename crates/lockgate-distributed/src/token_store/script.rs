//! The scripts, each an operation in a file of its own. A script must never be built from data: data are arguments.

use std::sync::LazyLock;

use redis::Script as Text;

/// An operation on the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    AcquireRequest,
    Found,
    GiveBack,
    Look,
    Report,
    Set,
}

// As with the slots' scripts: a server without memory refuses those that take, whole, and not those that give back.
macro_rules! script {
    ($flags:literal, $part:literal) => {
        LazyLock::new(|| {
            Text::new(concat!(
                "#!lua",
                $flags,
                "\n",
                include_str!("../../lua/chunks/desk.lua"),
                include_str!(concat!("../../lua/chunks/", $part, ".lua"))
            ))
        })
    };
}

static DRAW: LazyLock<Text> = script!("", "draw");
static FOUND: LazyLock<Text> = script!("", "found");
static GIVE_BACK: LazyLock<Text> = script!(" flags=allow-oom", "give_back");
static LOOK: LazyLock<Text> = script!(" flags=allow-oom", "look");
static REPORT: LazyLock<Text> = script!(" flags=allow-oom", "report");
static SET: LazyLock<Text> = script!(" flags=allow-oom", "set");

impl Script {
    pub(super) fn text(self) -> &'static Text {
        match self {
            Self::AcquireRequest => &DRAW,
            Self::Found => &FOUND,
            Self::GiveBack => &GIVE_BACK,
            Self::Look => &LOOK,
            Self::Report => &REPORT,
            Self::Set => &SET,
        }
    }

    /// What we are doing, in errors.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::AcquireRequest => "drawing tokens",
            Self::Found => "founding the limits",
            Self::GiveBack => "giving tokens back",
            Self::Look => "reading the limits",
            Self::Report => "reporting what jobs came to",
            Self::Set => "changing a limit",
        }
    }
}
