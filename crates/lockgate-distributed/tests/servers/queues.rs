//! Deletes a test's queues on the shared server, where each of them would keep files and processes.

use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};
use support::wait::block_on;

/// Deletes these queues and their dead letters. A queue that was never declared is no error.
pub(crate) fn delete(url: &str, prefix: &str, queues: &[&str]) {
    let deleted = block_on(async {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        for queue in queues {
            for name in [format!("{prefix}{queue}"), format!("{prefix}{queue}.dead")] {
                channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
            }
        }
        Ok(connection.close(200, "".into()).await?)
    });
    // This fails only when the servers have ended, and the queues with them.
    drop(deleted);
}
