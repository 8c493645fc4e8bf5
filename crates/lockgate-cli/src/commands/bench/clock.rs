//! The clocks of a measurement. All processes of a host share the first, so that their instants can be compared.
//!
//! They must never be read for anything but measuring.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Time since the host was started, the same in all its processes.
pub(super) fn monotonic() -> Duration {
    of(clock_gettime(ClockId::Monotonic))
}

/// Processor time that this process has used.
pub(super) fn cpu() -> Duration {
    of(clock_gettime(ClockId::ProcessCPUTime))
}

fn of(time: Timespec) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
