//! The run of a scenario without a fault, whose result the fault tests compare with.

use support::program::Sandbox;
use support::{Result, ensure};

use crate::crash;
use crate::organizations::{self, AS_OF};

/// Executes the same run on the embedded engine without a fault. Returns its sandbox, whose usage the backend
/// serves, and the stored projections.
pub(super) fn undisturbed(organizations: u32) -> Result<(Sandbox, Vec<String>)> {
    let sandbox = organizations::imported(organizations)?;
    sandbox
        .run(&["enqueue", "--run", "r", "--as-of", AS_OF, "--batch-size", "1000", "--batch-delay", "0s"])?
        .succeeded()?;
    sandbox.run(&["work", "--until-idle"])?.succeeded()?;
    let rows = crash::rows(&sandbox)?;
    ensure!(!rows.is_empty(), "an undisturbed run stores projections");
    Ok((sandbox, rows))
}
