//! One program with a blocking and an async half.

use std::time::Duration;

use diesel_async::{AsyncConnection, AsyncMysqlConnection};
use diesel_locks::{Error, Lock, TableLock, aio};

use crate::support::schema::Database;

static LOCK: Lock = Lock::new("shared");
static AIO: aio::Lock = LOCK.aio();

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn connect(db: &Database) -> AsyncMysqlConnection {
    AsyncMysqlConnection::establish(&db.url()).await.unwrap()
}

#[test]
fn a_static_lock_of_both_halves_is_one_lock() {
    let db = Database::new();
    let mut blocking = db.connect();
    on_a_runtime(async {
        let mut awaited = connect(&db).await;
        let guard = LOCK.acquire(&mut blocking).unwrap();
        assert!(AIO.try_acquire(&mut awaited).await.unwrap().is_none());
        guard.release().unwrap();

        let guard = AIO.acquire(&mut awaited).await.unwrap();
        assert!(LOCK.try_acquire(&mut blocking).unwrap().is_none());
        guard.release().await.unwrap();
        assert!(!LOCK.is_held(&mut blocking).unwrap());
    });
}

#[test]
fn a_set_of_locks_of_both_halves_is_one_set() {
    let db = Database::new();
    let mut blocking = db.connect();
    let set = Lock::all(["first", "second"]);
    on_a_runtime(async {
        let mut awaited = connect(&db).await;
        let guard = set.clone().aio().acquire(&mut awaited).await.unwrap();
        assert!(set.try_acquire(&mut blocking).unwrap().is_none());
        guard.release().await.unwrap();
        assert!(set.try_acquire(&mut blocking).unwrap().is_some());
    });
}

#[test]
fn a_table_that_one_half_has_locked_is_not_free_for_the_other() {
    let db = Database::with_tables();
    let mut blocking = db.connect();
    let lock = TableLock::new().write_table("audit_log").timeout(Duration::from_secs(1));
    on_a_runtime(async {
        let mut awaited = connect(&db).await;
        let guard = lock.clone().aio().acquire(&mut awaited).await.unwrap();
        let refused = lock.acquire(&mut blocking).map(drop);
        assert!(matches!(refused, Err(Error::Timeout { .. })), "{refused:?}");
        guard.release().await.unwrap();
        lock.acquire(&mut blocking).unwrap().release().unwrap();
    });
}
