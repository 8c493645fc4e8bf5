//! The clocks of a measurement. All processes of a host share the monotonic one, so their instants can be
//! compared.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Returns the time since the host was started, the same in all its processes.
pub(crate) fn monotonic() -> Duration {
    of(clock_gettime(ClockId::Monotonic))
}

/// Returns the processor time that this process has used.
pub(crate) fn cpu() -> Duration {
    of(clock_gettime(ClockId::ProcessCPUTime))
}

fn of(time: Timespec) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}
