//! What happens to the writes of a batch when one of them fails.

use async_trait::async_trait;
use lockgate_core::error::EngineError;
use sqlx::SqliteConnection;

use super::{Insert, database, folder, sum};
use crate::database::{Doing, Write};

#[tokio::test]
async fn one_bad_write_fails_alone_and_each_other_is_done_once() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    // All are in the queue before the writer can have taken the first.
    let mut answers = Vec::new();
    for n in [1, -100, 10, -1000, 100] {
        answers.push(database.submit("inserting", Insert(n)).await.unwrap());
    }
    let mut done = Vec::new();
    for answer in answers {
        done.push(answer.await.unwrap().ok());
    }
    assert_eq!(done, [Some(1), None, Some(10), None, Some(100)]);
    assert_eq!(sum(&database).await, 111);
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_is_done_all_the_same() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    drop(database.submit("inserting", Insert(7)).await.unwrap());
    database.write("inserting", Insert(0)).await.unwrap();
    assert_eq!(sum(&database).await, 7);
}

/// Fails when it is committed, as on a full disk.
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
        let statement = "create table there (a integer primary key); \
                         create table broken (a integer references there(a) deferrable initially deferred); \
                         insert into broken values (1)";
        sqlx::raw_sql(statement).execute(tx).await.doing("inserting")?;
        Ok(7)
    }
}

#[tokio::test]
async fn the_answer_of_a_look_stands_when_nothing_can_be_kept() {
    let folder = folder();
    let database = open(Options::new(folder.path().join("lockgate.db"))).await.unwrap().database;
    database.migrate(&FIRST).await.unwrap();
    let beside = database.submit("inserting", Insert(1)).await.unwrap();
    assert_eq!(database.write("looking", Uncommittable { is_best_effort: true }).await.unwrap(), 7);
    assert_eq!(beside.await.unwrap().unwrap(), 1);
    assert!(database.write("inserting", Uncommittable { is_best_effort: false }).await.is_err());
    assert_eq!(sum(&database).await, 1);
}
