use diesel_async::SimpleAsyncConnection as _;
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, connection_id};

const LOCK: Lock = Lock::new("l");

#[tokio::test]
async fn a_lock_belongs_to_the_database_of_its_connection() {
    let (one, two) = (Database::create().await, Database::create().await);
    let (mut first, mut second) = (one.connect().await, two.connect().await);
    let mut admin = Admin::connect().await;
    for _ in 0..2 {
        let a = LOCK.acquire(&mut first).await.unwrap();
        let b = LOCK.acquire(&mut second).await.unwrap();
        let holders =
            (admin.holder(&one.full_name("l")).await, admin.holder(&two.full_name("l")).await);
        let (a, b) = (a.release().await.unwrap(), b.release().await.unwrap());
        assert_eq!(holders, (Some(connection_id(a).await), Some(connection_id(b).await)));
    }
}

#[tokio::test]
async fn a_connection_that_uses_another_database_takes_that_ones_lock() {
    let (one, two) = (Database::create().await, Database::create().await);
    let mut conn = one.connect().await;
    let mut admin = Admin::connect().await;
    let id = connection_id(&mut conn).await;
    let mut guard = LOCK.acquire(&mut conn).await.unwrap();
    guard.batch_execute(&format!("USE {}", two.name())).await.unwrap();
    // It is released under the name that it was acquired by.
    assert!(guard.is_still_held().await.unwrap());
    guard.release().await.unwrap();
    assert_eq!(admin.holder(&one.full_name("l")).await, None);
    let other = Lock::new("other");
    let guard = other.acquire(&mut conn).await.unwrap();
    let holders =
        (admin.holder(&one.full_name("other")).await, admin.holder(&two.full_name("other")).await);
    // Diesel's prepared statement may still belong to the first database, as documented.
    assert!(holders == (Some(id), None) || holders == (None, Some(id)), "{holders:?}");
    guard.release().await.unwrap();
    assert_eq!(admin.holder(&two.full_name("other")).await, None);
}

#[tokio::test]
async fn prefixes_are_explicit_or_left_out() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let mut admin = Admin::connect().await;
    let id = connection_id(&mut conn).await;
    let tenant = format!("{}_tenant", database.name());
    let guard = LOCK.in_database(&tenant).acquire(&mut conn).await.unwrap();
    assert_eq!(admin.holder(&format!("{tenant}.l")).await, Some(id));
    guard.release().await.unwrap();
    let name = format!("{}_wide", database.name());
    let guard = Lock::new(&name).server_wide().acquire(&mut conn).await.unwrap();
    assert_eq!(admin.holder(&name).await, Some(id));
    guard.release().await.unwrap();
    assert_eq!(admin.holder(&name).await, None);
}

#[tokio::test]
async fn a_connection_without_a_database_needs_a_prefix() {
    let database = Database::create().await;
    let mut conn = Admin::connect().await.conn;
    let refused = LOCK.acquire(&mut conn).await.map(drop);
    assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
    let refused = LOCK.is_held(&mut conn).await;
    assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
    let refused = Lock::held_with_prefix("", &mut conn).await;
    assert!(matches!(refused, Err(Error::NoDatabase | Error::Unsupported { .. })), "{refused:?}");
    let guard = LOCK.in_database(database.name()).acquire(&mut conn).await.unwrap();
    guard.release().await.unwrap();
}
