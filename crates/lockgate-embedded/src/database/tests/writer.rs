//! What happens to the writes of a batch when one of them fails.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::SqliteConnection;

use super::{Insert, database, folder, sum};
use crate::database::{Doing, Write};

#[tokio::test]
async fn faulty_writes_of_a_batch_fail_alone_and_the_others_run_once() {
    let folder = folder();
    let database = database(&folder).await;
    // All writes are in the channel before the writer can receive the first.
    let mut outputs = Vec::new();
    for n in [1, -100, 10, -1000, 100] {
        outputs.push(database.submit("inserting", Insert(n)).await.unwrap());
    }
    let mut done = Vec::new();
    for output in outputs {
        done.push(output.await.unwrap().ok());
    }
    assert_eq!(done, [Some(1), None, Some(10), None, Some(100)]);
    assert_eq!(sum(&database).await, 111);
}

#[tokio::test]
async fn write_is_completed_when_its_caller_stops_waiting() {
    let folder = folder();
    let database = database(&folder).await;
    drop(database.submit("inserting", Insert(7)).await.unwrap());
    database.write("inserting", Insert(0)).await.unwrap();
    assert_eq!(sum(&database).await, 7);
}

/// A write whose commit fails, as on a full disk.
struct Uncommittable {
    is_best_effort: bool,
}

#[async_trait]
impl Write for Uncommittable {
    type Output = i64;

    fn is_best_effort(&self) -> bool {
        self.is_best_effort
    }

    async fn run(&self, tx: &mut SqliteConnection) -> Result<i64, EngineError> {
        let statement = "create table target (a integer primary key); \
                         create table broken (a integer references target(a) deferrable initially deferred); \
                         insert into broken values (1)";
        sqlx::raw_sql(statement).execute(tx).await.doing("inserting")?;
        Ok(7)
    }
}

#[tokio::test]
async fn best_effort_write_returns_its_output_when_the_commit_fails() {
    let folder = folder();
    let database = database(&folder).await;
    let other = database.submit("inserting", Insert(1)).await.unwrap();
    assert_eq!(database.write("reading", Uncommittable { is_best_effort: true }).await.unwrap(), 7);
    assert_eq!(other.await.unwrap().unwrap(), 1);
    assert!(database.write("inserting", Uncommittable { is_best_effort: false }).await.is_err());
    assert_eq!(sum(&database).await, 1);
}
