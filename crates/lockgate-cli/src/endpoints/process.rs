//! The process itself, in the names that every Prometheus client uses. Read when it is asked for, never in between.

use std::fmt::Write;

use crate::procfs::{self, Usage};

/// The metrics as text.
pub(super) fn render() -> String {
    let mut text = String::new();
    let Some(usage) = Usage::own() else { return text };
    let cpu = format!("{:.3}", usage.cpu.as_secs_f64());
    let files = procfs::open_files().unwrap_or(0).to_string();
    for (name, shape, help, value) in [
        ("process_cpu_seconds_total", "counter", "Processor time", cpu),
        ("process_resident_memory_bytes", "gauge", "Memory in use", usage.resident.to_string()),
        ("process_peak_memory_bytes", "gauge", "The most memory in use at once", usage.peak.to_string()),
        ("process_threads", "gauge", "Threads", usage.threads.to_string()),
        ("process_open_fds", "gauge", "Open files", files),
    ] {
        let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {shape}\n{name} {value}\n\n");
    }
    text
}
