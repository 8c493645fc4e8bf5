//! The descendants of a process, read from /proc.

/// Returns all descendants of this process.
pub(super) fn below(root: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u32)> = ids.filter_map(|id| Some((id, stat(id, 1)?.parse().ok()?))).collect();
    let mut found = vec![root];
    let mut visited = 0;
    while let Some(&parent) = found.get(visited) {
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        visited += 1;
    }
    found.split_off(1)
}

/// Returns whether the process does not exist or is a zombie.
pub(super) fn has_ended(id: u32) -> bool {
    stat(id, 0).is_none_or(|state| state == "Z")
}

/// Returns a field of /proc/PID/stat after the process name, which may contain anything: 0 is the state, 1
/// the parent.
fn stat(id: u32, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(field).map(str::to_owned)
}
