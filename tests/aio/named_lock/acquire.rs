use std::time::Duration;

use diesel::QueryResult;
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, connection_id, soon};

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

#[tokio::test]
async fn a_lock_is_acquired_again_by_its_holder_and_released_as_often() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let lock = Lock::new("twice");
    let mut outer = lock.acquire(&mut one).await.unwrap();
    let inner = lock.acquire(&mut outer).await.unwrap();
    inner.release().await.unwrap();
    assert!(lock.is_held(&mut two).await.unwrap());
    assert!(outer.is_still_held().await.unwrap());
    outer.release().await.unwrap();
    assert!(!lock.is_held(&mut two).await.unwrap());
}

#[tokio::test]
async fn a_leaked_lock_is_held_until_it_is_released() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let lock = Lock::new("kept");
    let conn = lock.acquire(&mut one).await.unwrap().leak();
    assert!(lock.is_held(&mut two).await.unwrap());
    let not_held = lock.release(&mut two).await;
    assert!(matches!(not_held, Err(Error::NotHeld { committed: None, .. })), "{not_held:?}");
    lock.release(conn).await.unwrap();
    assert!(!lock.is_held(&mut two).await.unwrap());
    let not_held = lock.release(conn).await;
    assert!(matches!(not_held, Err(Error::NotHeld { .. })), "{not_held:?}");
}

#[tokio::test]
async fn all_locks_of_a_connection_are_released_and_counted() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
    for name in ["a", "b", "b"] {
        Lock::new(name).acquire(&mut conn).await.unwrap().leak();
    }
    let mut guard = Lock::new("c").acquire(&mut conn).await.unwrap();
    assert_eq!(Lock::release_all(&mut guard).await.unwrap(), 4);
    assert!(!guard.is_still_held().await.unwrap());
    let not_held = guard.release().await.map(drop);
    assert!(matches!(not_held, Err(Error::NotHeld { committed: None, .. })), "{not_held:?}");
    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
}

#[tokio::test]
async fn a_busy_lock_is_not_waited_for_by_try_acquire_and_try_with() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let lock = Lock::new("nightly");
    let guard = lock.acquire(&mut one).await.unwrap();
    assert!(lock.try_acquire(&mut two).await.unwrap().is_none());
    let ran: QueryResult<Option<()>> =
        lock.try_with(&mut two, async |_| panic!("another connection holds the lock")).await;
    assert_eq!(ran, Ok(None));
    guard.release().await.unwrap();
    assert_eq!(lock.try_with(&mut two, async |_| QueryResult::Ok(7)).await, Ok(Some(7)));
    assert!(!lock.is_held(&mut one).await.unwrap());
}

#[tokio::test]
async fn an_owned_guard_gives_its_connection_back() {
    let database = Database::create().await;
    let pool = database.bb8(1).await;
    let mut other = database.connect().await;
    let lock = Lock::new("owned");
    let guard = lock.acquire_owned(pool.get_owned().await.unwrap()).await.unwrap();
    assert!(lock.is_held(&mut other).await.unwrap());
    let mut conn = guard.release().await.unwrap();
    let id = connection_id(&mut conn).await;
    drop(conn);
    assert_eq!(connection_id(&mut pool.get().await.unwrap()).await, id, "the pool kept it");

    lock.acquire(&mut other).await.unwrap().leak();
    let busy = lock.timeout(Duration::ZERO).acquire_owned(pool.get_owned().await.unwrap()).await;
    let (error, mut conn) = busy.map(drop).unwrap_err().into_parts();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(connection_id(&mut conn).await, id);
    assert!(lock.try_acquire_owned(conn).await.unwrap().is_none());
    assert_eq!(connection_id(&mut pool.get().await.unwrap()).await, id, "the pool got it back");
}

#[tokio::test]
async fn an_error_of_the_body_releases_the_lock_and_is_returned() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let lock = Lock::new("fails");
    let failed: anyhow::Result<()> =
        lock.with(&mut conn, async |_| Err(anyhow::anyhow!("not today"))).await;
    assert_eq!(failed.unwrap_err().to_string(), "not today");
    assert!(!lock.is_held(&mut conn).await.unwrap());
}

#[tokio::test]
async fn a_lock_that_the_body_released_is_reported() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let lock = Lock::new("released");
    let result: anyhow::Result<()> =
        lock.with(&mut conn, async |conn| Ok(lock.release(conn).await?)).await;
    let error = result.unwrap_err();
    assert!(matches!(Error::find(error.as_ref()), Some(Error::NotHeld { .. })), "{error:?}");
}

#[tokio::test]
async fn names_that_no_server_takes_are_refused() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let long = "x".repeat(200);
    for name in ["", "nul\0", &long] {
        let refused = Lock::new(name).acquire(&mut conn).await.map(drop);
        assert!(matches!(refused, Err(Error::InvalidName { .. })), "{name:?}: {refused:?}");
        let refused = Lock::new(name).is_held(&mut conn).await;
        assert!(matches!(refused, Err(Error::InvalidName { .. })), "{name:?}: {refused:?}");
    }
    let mut guard = Lock::new(&long).shortened().acquire(&mut conn).await.unwrap();
    assert!(guard.is_still_held().await.unwrap());
    guard.release().await.unwrap();
    let strange = Lock::new("naïve ' \" \\ % 名前");
    let mut guard = strange.acquire(&mut conn).await.unwrap();
    assert!(guard.is_still_held().await.unwrap());
    guard.release().await.unwrap();
    // MySQL takes no characters outside of the Basic Multilingual Plane.
    match Lock::new("🦀").acquire(&mut conn).await {
        Ok(mut guard) => assert!(guard.is_still_held().await.unwrap()),
        Err(error) => assert!(matches!(error, Error::InvalidName { .. }), "{error:?}"),
    }
}

#[tokio::test]
async fn the_next_holder_comes_when_the_first_releases() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut two).await;
    let lock = Lock::new("queue");
    let guard = lock.acquire(&mut one).await.unwrap();
    let waiting = tokio::spawn(async move {
        let guard = lock.without_timeout().acquire(&mut two).await.unwrap();
        guard.release().await.unwrap();
    });
    Admin::connect().await.until_waiting(id).await;
    guard.release().await.unwrap();
    soon("the next holder", waiting).await.unwrap();
}

/// Both halves of a program use the same `static`.
#[tokio::test]
async fn a_lock_is_the_same_for_both_kinds_of_connection() {
    static BLOCKING: diesel_locks::Lock = diesel_locks::Lock::new("shared");
    static AIO: Lock = BLOCKING.server_wide().aio();
    assert_eq!(diesel_locks::Lock::from(AIO), BLOCKING.server_wide());
    assert_eq!(Lock::from(BLOCKING).name(), "shared");
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let guard = BLOCKING.aio().acquire(&mut conn).await.unwrap();
    let holder = Admin::connect().await.holder(&database.full_name("shared")).await;
    assert_eq!(holder, Some(connection_id(guard.leak()).await));
}
