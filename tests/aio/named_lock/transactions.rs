use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _,
    TransactionManager as _,
};
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, connection_id};

const LOCK: Lock = Lock::new("money");

async fn insert(n: i32, conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    conn.batch_execute(&format!("INSERT INTO work VALUES ({n})")).await
}

fn error<T: std::fmt::Debug>(result: QueryResult<T>) -> Error {
    Error::from(result.unwrap_err())
}

#[tokio::test]
async fn a_transaction_is_committed_before_the_lock_is_released() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let done: QueryResult<i32> = LOCK
        .transaction(&mut conn, async |conn| {
            insert(1, conn).await?;
            assert_eq!(database.count(&mut admin).await, 0, "not committed yet");
            conn.transaction(async |conn| insert(2, conn).await).await?;
            let inner: QueryResult<()> = conn
                .transaction(async |conn| {
                    insert(3, conn).await?;
                    Err(DieselError::RollbackTransaction)
                })
                .await;
            inner.unwrap_err();
            Ok(7)
        })
        .await;
    assert_eq!(done, Ok(7));
    assert_eq!(database.count(&mut admin).await, 2);
    assert!(!LOCK.is_held(&mut conn).await.unwrap());
}

#[tokio::test]
async fn an_error_of_the_body_rolls_back() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let failed: QueryResult<()> = LOCK
        .transaction(&mut conn, async |conn| {
            insert(1, conn).await?;
            Err(DieselError::NotFound)
        })
        .await;
    assert_eq!(failed, Err(DieselError::NotFound));
    let mut guard = LOCK.acquire(&mut conn).await.unwrap();
    let failed: QueryResult<()> = guard
        .transaction(async |conn| {
            insert(1, conn).await?;
            Err(DieselError::NotFound)
        })
        .await;
    assert_eq!(failed, Err(DieselError::NotFound));
    assert!(guard.is_still_held().await.unwrap());
    let done: QueryResult<()> = guard.transaction(async |conn| insert(2, conn).await).await;
    assert_eq!(done, Ok(()));
    guard.release().await.unwrap();
    assert_eq!(database.count(&mut admin).await, 1);
}

#[tokio::test]
async fn an_open_transaction_is_refused_and_left_alone() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    // One that Diesel does not know.
    conn.batch_execute("BEGIN; INSERT INTO work VALUES (1)").await.unwrap();
    let refused = error(LOCK.transaction(&mut conn, async |_| QueryResult::Ok(())).await);
    assert!(matches!(refused, Error::InTransaction { .. }), "{refused:?}");
    assert_eq!(admin.holder(&database.full_name("money")).await, None);
    conn.batch_execute("COMMIT").await.unwrap();
    assert_eq!(database.count(&mut admin).await, 1, "it was the caller's to commit");
    // One that it knows.
    let done: QueryResult<()> = conn
        .transaction(async |conn| {
            insert(2, conn).await?;
            let refused = error(LOCK.transaction(conn, async |_| QueryResult::Ok(())).await);
            assert!(matches!(refused, Error::InTransaction { .. }), "{refused:?}");
            Ok(())
        })
        .await;
    assert_eq!(done, Ok(()));
    assert_eq!(database.count(&mut admin).await, 2);
    let mut guard = LOCK.acquire(&mut conn).await.unwrap();
    guard.batch_execute("BEGIN").await.unwrap();
    let refused = error(guard.transaction(async |_| QueryResult::Ok(())).await);
    assert!(matches!(refused, Error::InTransaction { .. }), "{refused:?}");
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_the_body_ended_is_reported() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let id = connection_id(&mut conn).await;
    for ends in ["CREATE TABLE made (n INT)", "COMMIT", "ROLLBACK", "BEGIN", "DROP TABLE made"] {
        let result = LOCK.transaction(&mut conn, async |conn| conn.batch_execute(ends).await).await;
        let error = error(result);
        assert!(matches!(error, Error::TransactionEnded { .. }), "{ends}: {error:?}");
        assert!(!LOCK.is_held(&mut conn).await.unwrap(), "{ends}");
        assert_eq!(connection_id(&mut conn).await, id);
    }
}

#[tokio::test]
async fn a_transaction_that_the_body_left_open_is_rolled_back() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let result = LOCK
        .transaction(&mut conn, async |conn| {
            AnsiTransactionManager::begin_transaction(conn).await?;
            insert(1, conn).await
        })
        .await;
    let error = error(result);
    assert!(matches!(error, Error::InTransaction { .. }), "{error:?}");
    assert_eq!(database.count(&mut admin).await, 0);
    assert!(!LOCK.is_held(&mut conn).await.unwrap());
    let done: QueryResult<()> = conn.transaction(async |conn| insert(1, conn).await).await;
    assert_eq!(done, Ok(()), "Diesel knows that none is open");
}

#[tokio::test]
async fn a_lock_that_the_body_released_says_whether_its_work_was_committed() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let result = LOCK
        .transaction(&mut conn, async |conn| {
            insert(1, conn).await?;
            conn.batch_execute("DO RELEASE_ALL_LOCKS()").await
        })
        .await;
    let error = error(result);
    assert!(matches!(error, Error::NotHeld { committed: Some(true), .. }), "{error:?}");
    assert_eq!(database.count(&mut admin).await, 1);
}

#[tokio::test]
async fn a_test_transaction_gets_a_savepoint() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    conn.begin_test_transaction().await.unwrap();
    let done: QueryResult<()> =
        LOCK.transaction(&mut conn, async |conn| insert(1, conn).await).await;
    assert_eq!(done, Ok(()));
    let failed: QueryResult<()> = LOCK
        .transaction(&mut conn, async |conn| {
            insert(2, conn).await?;
            Err(DieselError::NotFound)
        })
        .await;
    assert_eq!(failed, Err(DieselError::NotFound));
    let mut guard = LOCK.acquire(&mut conn).await.unwrap();
    let done: QueryResult<()> = guard.transaction(async |conn| insert(3, conn).await).await;
    assert_eq!(done, Ok(()));
    guard.release().await.unwrap();
    let seen = crate::support::number("(SELECT SUM(n) FROM work)", &mut conn).await;
    assert_eq!(seen, Ok(4));
    assert_eq!(database.count(&mut admin).await, 0, "it is never committed");
}
