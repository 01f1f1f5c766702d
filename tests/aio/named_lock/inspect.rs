use diesel_locks::Error;
use diesel_locks::Flavor;
use diesel_locks::aio::{Lock, inspect_server};

use crate::support::{Admin, Database, Listings, connection_id, is_mysql, soon};

#[tokio::test]
async fn the_holder_is_described() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    let lock = Lock::new("held");
    assert!(lock.holder(&mut two).await.unwrap().is_none());
    assert_eq!(lock.holding_connection_id(&mut two).await.unwrap(), None);
    lock.acquire(&mut one).await.unwrap().leak();
    let holder = lock.holder(&mut two).await.unwrap().unwrap();
    assert_eq!(holder.process.id, id);
    assert_eq!(holder.process.database.as_deref(), Some(database.name()));
    assert_eq!(lock.holding_connection_id(&mut two).await.unwrap(), Some(id));
    assert!(lock.is_held(&mut two).await.unwrap());
}

#[tokio::test]
async fn connections_that_wait_are_listed_where_the_server_does_so() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let mut other = database.connect().await;
    let id = connection_id(&mut two).await;
    let lock = Lock::new("wanted");
    let guard = lock.acquire(&mut one).await.unwrap();
    let waiting = tokio::spawn(async move { lock.acquire(&mut two).await.map(drop) });
    Admin::connect().await.until_waiting(id).await;
    match lock.waiters(&mut other).await {
        Ok(waiters) => {
            let ids: Vec<_> = waiters.iter().map(|waiter| waiter.process.id).collect();
            assert_eq!(ids, [id]);
        }
        // Where the performance schema is off.
        Err(Error::Unsupported { .. }) if !is_mysql().await => {}
        Err(error) => panic!("{error:?}"),
    }
    guard.release().await.unwrap();
    soon("the other", waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn held_locks_are_listed_by_prefix() {
    let listings = Listings::load().await;
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    for name in ["invoice-1", "invoice-2", "other"] {
        Lock::new(name).acquire(&mut one).await.unwrap().leak();
    }
    match Lock::held_with_prefix("invoice-", &mut two).await {
        Ok(held) => {
            let held: Vec<_> = held.iter().map(|(name, id)| (name.as_str(), *id)).collect();
            assert_eq!(held, [("invoice-1", id), ("invoice-2", id)]);
        }
        Err(Error::Unsupported { .. }) if !listings.any => {}
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn the_server_is_inspected() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    for _ in 0..2 {
        let server = inspect_server(&mut conn).await.unwrap();
        let is_mysql = is_mysql().await;
        assert_eq!(server.flavor == Flavor::MySql, is_mysql, "{server:?}");
        assert_eq!(server.flavor == Flavor::MariaDb, !is_mysql, "{server:?}");
    }
}
