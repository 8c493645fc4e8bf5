//! The binary `spike-projection`.

use std::process::ExitCode;

use spike_projection::program::SpikeProjection;

#[tokio::main]
async fn main() -> ExitCode {
    lockgate_cli::run(SpikeProjection).await
}
