use std::time::Duration;

use diesel::QueryResult;
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Database, connection_id};

#[tokio::test]
async fn a_lock_is_held_until_its_guard_is_released() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    let lock = Lock::new("nightly").timeout(Duration::ZERO);
    let mut guard = lock.acquire(&mut one).await.unwrap();
    assert_eq!(lock.holding_connection_id(&mut two).await.unwrap(), Some(id));
    assert!(guard.is_still_held().await.unwrap());
    assert!(lock.try_acquire(&mut two).await.unwrap().is_none());
    let busy = lock.acquire(&mut two).await.map(drop);
    assert!(matches!(&busy, Err(Error::Timeout { holder, .. }) if *holder == Some(id)), "{busy:?}");
    guard.release().await.unwrap();
    assert!(!lock.is_held(&mut two).await.unwrap());
    assert!(!lock.is_held(&mut one).await.unwrap(), "the connection is kept");
}

#[tokio::test]
async fn a_body_runs_in_a_transaction_under_the_lock() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let lock = Lock::new("nightly");
    let id = connection_id(&mut conn).await;
    let result: QueryResult<u64> = lock
        .transaction(&mut conn, async |conn| {
            assert_eq!(lock.holding_connection_id(conn).await?, Some(id));
            Ok(connection_id(conn).await)
        })
        .await;
    assert_eq!(result, Ok(id));
    assert!(!lock.is_held(&mut conn).await.unwrap());
}
