//! The scripts of the token store, one operation each.
//!
//! A script is concatenated from fixed files and never built from data: data are passed as arguments.

use std::sync::LazyLock;

use redis::Script as Text;

/// An operation of the token store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    Initialize,
    GiveBack,
    List,
    Report,
    Set,
}

// As with the scripts of the slots, a server without memory refuses a script that adds data as a whole,
// before its first command. The others have `allow-oom`.
macro_rules! script {
    ($flags:literal, $part:literal) => {
        LazyLock::new(|| {
            Text::new(concat!(
                "#!lua",
                $flags,
                "\n",
                include_str!("../../lua/tokens/prologue.lua"),
                include_str!(concat!("../../lua/tokens/", $part, ".lua"))
            ))
        })
    };
}

static ACQUIRE: LazyLock<Text> = script!("", "acquire");
static INITIALIZE: LazyLock<Text> = script!("", "initialize");
static GIVE_BACK: LazyLock<Text> = script!(" flags=allow-oom", "give_back");
static LIST: LazyLock<Text> = script!(" flags=allow-oom", "list");
static REPORT: LazyLock<Text> = script!(" flags=allow-oom", "report");
static SET: LazyLock<Text> = script!(" flags=allow-oom", "set");

impl Script {
    pub(super) fn text(self) -> &'static Text {
        match self {
            Self::Acquire => &ACQUIRE,
            Self::Initialize => &INITIALIZE,
            Self::GiveBack => &GIVE_BACK,
            Self::List => &LIST,
            Self::Report => &REPORT,
            Self::Set => &SET,
        }
    }

    /// Returns what the call does, for error messages.
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Acquire => "acquiring tokens",
            Self::Initialize => "initializing the limits",
            Self::GiveBack => "giving tokens back",
            Self::List => "reading the limits",
            Self::Report => "reporting results of jobs",
            Self::Set => "changing a limit",
        }
    }
}
