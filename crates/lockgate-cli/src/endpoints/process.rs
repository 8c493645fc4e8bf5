//! Metrics of the process, with the names that all Prometheus clients use. They are read for each scrape.

use std::fmt::Write;

use crate::procfs::{self, Usage};

/// Returns the metrics as text.
pub(super) fn render() -> String {
    let mut text = String::new();
    let Some(usage) = Usage::own() else { return text };
    let cpu = format!("{:.3}", usage.cpu.as_secs_f64());
    let files = procfs::open_files().unwrap_or(0).to_string();
    for (name, kind, help, value) in [
        ("process_cpu_seconds_total", "counter", "Processor time used", cpu),
        ("process_resident_memory_bytes", "gauge", "Memory in use", usage.resident.to_string()),
        ("process_peak_memory_bytes", "gauge", "Most memory in use at once", usage.peak.to_string()),
        ("process_threads", "gauge", "Threads", usage.threads.to_string()),
        ("process_open_fds", "gauge", "Open files", files),
    ] {
        let _infallible = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
    }
    text
}
