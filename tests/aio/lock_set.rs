use std::time::Duration;

use diesel::QueryResult;
use diesel_locks::Error;
use diesel_locks::aio::{Lock, LockSet};

use crate::support::{Database, connection_id};

fn abc() -> LockSet {
    Lock::all(["c", "a", "b"])
}

#[tokio::test]
async fn a_set_is_held_as_a_whole_until_its_guard_is_released() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    let mut guard = abc().acquire(&mut one).await.unwrap();
    assert!(guard.is_still_held().await.unwrap());
    for name in abc().names() {
        assert_eq!(Lock::new(name).holding_connection_id(&mut two).await.unwrap(), Some(id));
    }
    assert!(abc().try_acquire(&mut two).await.unwrap().is_none());
    assert_eq!(Lock::release_all(&mut two).await.unwrap(), 0);
    guard.release().await.unwrap();
    assert_eq!(Lock::release_all(&mut one).await.unwrap(), 0, "the connection is kept");
    abc().try_acquire(&mut two).await.unwrap().unwrap().leak();
    assert_eq!(Lock::release_all(&mut two).await.unwrap(), 3);
}

#[tokio::test]
async fn a_set_that_times_out_holds_nothing_and_names_the_busy_lock() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    for busy in ["a", "b", "c"] {
        let held = Lock::new(busy).acquire(&mut one).await.unwrap();
        match abc().timeout(Duration::from_millis(30)).acquire(&mut two).await.map(drop) {
            Err(Error::Timeout { lock, holder, .. }) => {
                assert!(lock.ends_with(busy), "{lock}");
                assert_eq!(holder, Some(id));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(Lock::release_all(&mut two).await.unwrap(), 0);
        held.release().await.unwrap();
    }
}

#[tokio::test]
async fn a_set_waits_until_the_last_of_its_locks_is_free() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let held = Lock::new("b").acquire(&mut one).await.unwrap();
    let set = abc().without_timeout();
    let waiting = set.with(&mut two, async |conn| Lock::new("c").is_held(conn).await);
    let (waited, released) = futures_util::future::join(waiting, held.release()).await;
    released.unwrap();
    assert!(waited.unwrap());
    assert_eq!(Lock::release_all(&mut two).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_runs_in_a_transaction_under_all_locks() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let result: QueryResult<u64> = abc()
        .transaction(&mut conn, async |conn| {
            assert!(abc().try_acquire(&mut other).await?.is_none());
            Ok(connection_id(conn).await)
        })
        .await;
    assert!(result.is_ok());
    let ran = abc().try_with(&mut other, async |_| QueryResult::Ok(())).await.unwrap();
    assert!(ran.is_some());
    let refused = Lock::all::<[&str; 0]>([]).acquire(&mut conn).await.map(drop);
    assert!(matches!(refused, Err(Error::NoNames)), "{refused:?}");
}

#[tokio::test]
async fn a_guard_that_is_dropped_frees_all_locks() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    drop(abc().acquire(&mut one).await.unwrap());
    abc().acquire(&mut two).await.unwrap().release().await.unwrap();
    let task = tokio::spawn(async move {
        let owned = abc().acquire_owned(Box::new(two)).await.unwrap();
        let two = owned.release().await.unwrap();
        abc().try_acquire_owned(two).await.unwrap().unwrap().release().await.map(drop)
    });
    task.await.unwrap().unwrap();
}
