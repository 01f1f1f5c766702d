//! All calls of the library that talk to the server.

use std::time::Duration;

use diesel::QueryResult;
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::aio::{Lock, LockSet, TableLock, inspect_server};
use diesel_locks::{Error, with_lock, with_table_lock};
use futures_util::future::BoxFuture;

/// The lock that these calls acquire, which is free.
pub(super) const FREE: Lock = Lock::new("free");

/// A second one.
const INNER: Lock = Lock::new("inner");

/// A call, which must succeed unless it is cancelled.
pub(super) type Call = for<'c> fn(&'c mut AsyncMysqlConnection) -> BoxFuture<'c, ()>;

fn set() -> LockSet {
    Lock::all(["free", "inner"])
}

#[with_lock("free")]
async fn with_a_lock(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    write_at_once(conn).await
}

#[with_lock("free", transaction)]
async fn with_a_transaction(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    write(conn).await
}

#[with_table_lock(write("work"), read("prices"))]
async fn with_locked_tables(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    write(conn).await
}

fn tables() -> TableLock {
    TableLock::new().write_table("work").read_table("prices")
}

/// Writes two rows, of which other connections see both or none.
pub(super) async fn write(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    conn.batch_execute("INSERT INTO work VALUES (1)").await?;
    conn.batch_execute("INSERT INTO work VALUES (2)").await
}

/// Fails unless the server has answered, or does not list locks.
fn listed<T>(answer: Result<T, Error>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(Error::Unsupported { .. }) => None,
        Err(error) => panic!("{error:?}"),
    }
}

macro_rules! calls {
    ($($name:ident($conn:ident) $body:block)*) => {
        $(fn $name(conn: &mut AsyncMysqlConnection) -> BoxFuture<'_, ()> {
            let $conn = conn;
            Box::pin(async move { $body })
        })*

        pub(super) const CALLS: &[(&str, Call)] = &[$((stringify!($name), $name)),*];
    };
}

calls! {
    acquire(conn) {
        let guard = FREE.acquire(conn).await.unwrap();
        guard.release().await.unwrap();
    }
    acquire_within_a_fraction_of_a_second(conn) {
        let guard = FREE.timeout(Duration::from_millis(9_500)).acquire(conn).await.unwrap();
        guard.release().await.unwrap();
    }
    acquire_twice(conn) {
        let mut guard = FREE.acquire(conn).await.unwrap();
        let inner = FREE.acquire(&mut guard).await.unwrap();
        inner.release().await.unwrap();
        guard.release().await.unwrap();
    }
    acquire_in_database(conn) {
        let guard = FREE.in_database("diesel_locks_elsewhere").acquire(conn).await.unwrap();
        guard.release().await.unwrap();
    }
    try_acquire(conn) {
        let guard = FREE.try_acquire(conn).await.unwrap().unwrap();
        guard.release().await.unwrap();
    }
    with(conn) {
        let result: QueryResult<()> = FREE.with(conn, write_at_once).await;
        result.unwrap();
    }
    with_another_inside(conn) {
        let result: QueryResult<()> = FREE.with(conn, async |conn| {
            INNER.with(conn, write_at_once).await
        }).await;
        result.unwrap();
    }
    try_with(conn) {
        let result: QueryResult<Option<()>> = FREE.try_with(conn, write_at_once).await;
        assert_eq!(result, Ok(Some(())));
    }
    transaction(conn) {
        let result: QueryResult<()> = FREE.transaction(conn, write).await;
        result.unwrap();
    }
    transaction_with_a_nested_one(conn) {
        let result: QueryResult<()> = FREE.transaction(conn, async |conn| {
            conn.transaction(write).await
        }).await;
        result.unwrap();
    }
    transaction_that_fails(conn) {
        let result: QueryResult<()> = FREE.transaction(conn, async |conn| {
            write(conn).await?;
            Err(diesel::result::Error::RollbackTransaction)
        }).await;
        assert_eq!(result, Err(diesel::result::Error::RollbackTransaction));
    }
    transaction_of_a_guard(conn) {
        let mut guard = FREE.acquire(conn).await.unwrap();
        let result: QueryResult<()> = guard.transaction(write).await;
        result.unwrap();
        guard.release().await.unwrap();
    }
    acquire_fenced(conn) {
        let guard = FREE.fenced().acquire(conn).await.unwrap();
        guard.release().await.unwrap();
    }
    fenced_transaction(conn) {
        let result: QueryResult<()> = FREE.fenced().transaction(conn, write).await;
        result.unwrap();
    }
    fenced_transaction_of_a_guard(conn) {
        let mut guard = FREE.fenced().acquire(conn).await.unwrap();
        let result: QueryResult<()> = guard.transaction(write).await;
        result.unwrap();
        guard.release().await.unwrap();
    }
    create_fences(conn) {
        Lock::create_fences(conn).await.unwrap();
    }
    hold_at_least(conn) {
        let lock = FREE.hold_at_least(Duration::from_millis(20));
        let result: QueryResult<()> = lock.with(conn, write_at_once).await;
        result.unwrap();
    }
    is_still_held(conn) {
        let mut guard = FREE.acquire(conn).await.unwrap();
        assert!(guard.is_still_held().await.unwrap());
        guard.release().await.unwrap();
    }
    leak_and_release(conn) {
        let guard = FREE.acquire(conn).await.unwrap();
        let conn = guard.leak();
        FREE.release(conn).await.unwrap();
    }
    leak_and_release_all(conn) {
        let conn = FREE.acquire(conn).await.unwrap().leak();
        assert_eq!(Lock::release_all(conn).await.unwrap(), 1);
    }
    is_held(conn) {
        assert!(!FREE.is_held(conn).await.unwrap());
    }
    holder(conn) {
        let guard = FREE.acquire(conn).await.unwrap();
        let conn = guard.leak();
        assert!(FREE.holder(conn).await.unwrap().is_some());
        FREE.release(conn).await.unwrap();
    }
    waiters(conn) {
        assert!(listed(FREE.waiters(conn).await).is_none_or(|waiters| waiters.is_empty()));
    }
    held_with_prefix(conn) {
        assert!(listed(Lock::held_with_prefix("fr", conn).await).is_none_or(|held| held.is_empty()));
    }
    acquire_a_set(conn) {
        let mut guard = set().acquire(conn).await.unwrap();
        assert!(guard.is_still_held().await.unwrap());
        guard.release().await.unwrap();
    }
    transaction_under_a_set(conn) {
        let result: QueryResult<()> = set().transaction(conn, write).await;
        result.unwrap();
    }
    function_with_a_lock(conn) {
        with_a_lock(conn).await.unwrap();
    }
    function_with_a_transaction(conn) {
        with_a_transaction(conn).await.unwrap();
    }
    function_with_locked_tables(conn) {
        with_locked_tables(conn).await.unwrap();
    }
    lock_tables(conn) {
        let mut guard = tables().acquire(conn).await.unwrap();
        write(&mut guard).await.unwrap();
        guard.release().await.unwrap();
    }
    lock_tables_with_a_timeout(conn) {
        let mut guard = tables().timeout(Duration::from_secs(30)).acquire(conn).await.unwrap();
        write(&mut guard).await.unwrap();
        guard.release().await.unwrap();
    }
    lock_tables_and_roll_back(conn) {
        let mut guard = tables().acquire(conn).await.unwrap();
        write(&mut guard).await.unwrap();
        guard.rollback().await.unwrap();
    }
    lock_tables_around(conn) {
        let result: QueryResult<()> = tables().with(conn, async |conn| {
            conn.transaction(write).await
        }).await;
        result.unwrap();
    }
    lock_tables_under_a_named_lock(conn) {
        let result: QueryResult<()> = FREE.with(conn, async |conn| {
            tables().with(conn, write).await
        }).await;
        result.unwrap();
    }
    blockers(conn) {
        listed(tables().blockers(conn).await);
    }
    inspect(conn) {
        inspect_server(conn).await.unwrap();
    }
}

/// Writes both rows with one statement, where there is no transaction.
async fn write_at_once(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    conn.batch_execute("INSERT INTO work VALUES (1), (2)").await
}
