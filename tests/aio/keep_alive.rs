//! Locks that a task keeps alive, and fenced locks.

use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::{KeptLock, Lock};

use crate::support::{Database, number, until};

const LOCK: Lock<'static> = Lock::new("kept").timeout(Duration::ZERO);
const OFTEN: Duration = Duration::from_millis(50);

type Owned = Box<AsyncMysqlConnection>;

async fn keep(lock: Lock<'_>, conn: AsyncMysqlConnection, every: Duration) -> KeptLock<Owned> {
    lock.acquire_owned(Box::new(conn)).await.unwrap().keep_alive(every).await.unwrap()
}

#[tokio::test]
async fn a_lock_is_kept_and_the_session_comes_back_as_it_was() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    conn.batch_execute("SET wait_timeout = 77").await.unwrap();
    let kept = keep(LOCK, conn, OFTEN).await;
    assert!(kept.is_held());
    assert!(!kept.wait_until_lost(Duration::from_millis(300)).await);
    assert!(LOCK.is_held(&mut other).await.unwrap());
    let mut conn = kept.release().await.unwrap();
    assert!(!LOCK.is_held(&mut other).await.unwrap());
    assert_eq!(number("@@wait_timeout", &mut conn).await, Ok(77));
}

#[tokio::test]
async fn a_kept_lock_outlives_the_idle_limit_of_its_session() {
    let database = Database::create().await;
    let (conn, mut other) = (database.connect().await, database.connect().await);
    // The server frees it if it hears nothing for six seconds.
    let kept = keep(LOCK, conn, Duration::from_millis(500)).await;
    assert!(!kept.wait_until_lost(Duration::from_secs(8)).await);
    assert!(LOCK.is_held(&mut other).await.unwrap());
    kept.release().await.unwrap();
}

#[tokio::test]
async fn a_killed_connection_is_noticed() {
    let database = Database::create().await;
    let (conn, mut other) = (database.connect().await, database.connect().await);
    let kept = keep(LOCK, conn, OFTEN).await;
    let id = LOCK.holding_connection_id(&mut other).await.unwrap().unwrap();
    other.batch_execute(&format!("KILL {id}")).await.unwrap();
    assert!(kept.wait_until_lost(Duration::from_secs(45)).await);
    assert!(!kept.is_held());
    let released = kept.release().await.map(drop);
    assert!(matches!(released, Err(Error::ConnectionLost(_))), "{released:?}");
    LOCK.acquire(&mut other).await.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn dropping_it_releases_the_lock_and_blocks_nothing() {
    let database = Database::create().await;
    let (conn, mut other) = (database.connect().await, database.connect().await);
    drop(keep(LOCK, conn, OFTEN).await);
    until("the lock is free", async || !LOCK.is_held(&mut other).await.unwrap()).await;
}

#[tokio::test]
async fn a_silent_server_loses_the_lock_before_it_can_be_free() {
    let database = Database::create().await;
    let (conn, mut other) = (database.connect().await, database.connect().await);
    let kept = keep(LOCK, conn, OFTEN).await;
    let id = LOCK.holding_connection_id(&mut other).await.unwrap().unwrap();
    // Blocks the runtime's only thread, as a process that is stopped would.
    let started = Instant::now();
    let mut was_held = true;
    while started.elapsed() < Duration::from_millis(6_500) {
        std::thread::sleep(Duration::from_millis(20));
        was_held = kept.is_held();
    }
    assert!(!was_held);
    until("the lock is free", async || {
        LOCK.holding_connection_id(&mut other).await.unwrap() != Some(id)
    })
    .await;
    assert!(!kept.is_held(), "it stays lost");
}

async fn log(conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
    diesel::sql_query("INSERT INTO log () VALUES ()").execute(conn).await
}

#[tokio::test]
async fn a_fenced_transaction_commits_only_if_no_later_holder_has_begun() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let missing = LOCK.fenced().acquire(&mut conn).await.map(drop);
    assert!(matches!(missing, Err(Error::Unsupported { .. })), "{missing:?}");
    Lock::create_fences(&mut conn).await.unwrap();
    conn.batch_execute("CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY)").await.unwrap();
    let lock = LOCK.fenced();
    assert_eq!(lock.transaction(&mut conn, log).await, Ok(1));

    let mut first = lock.acquire(&mut conn).await.unwrap();
    assert_eq!(first.fencing_token(), Some(2));
    assert_eq!(first.transaction(log).await, Ok(1));
    // Lost without notice, and taken by another connection.
    let name = format!("DO RELEASE_LOCK('{}.kept')", database.name());
    first.batch_execute(&name).await.unwrap();
    let second = lock.acquire(&mut other).await.unwrap();
    assert_eq!(second.fencing_token(), Some(3));
    second.release().await.unwrap();
    let superseded = Error::from(first.transaction(log).await.unwrap_err());
    assert!(matches!(superseded, Error::Superseded { token: 2, .. }), "{superseded}");
    assert!(matches!(first.release().await.map(drop), Err(Error::NotHeld { .. })));
    assert_eq!(number("(SELECT COUNT(*) FROM log)", &mut other).await, Ok(2));
}

#[tokio::test]
async fn a_kept_fenced_lock_ties_transactions_on_another_connection_to_it() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    Lock::create_fences(&mut conn).await.unwrap();
    conn.batch_execute("CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY)").await.unwrap();
    let unfenced = keep(LOCK, conn, OFTEN).await;
    let refused = Error::from(unfenced.transaction(&mut other, log).await.unwrap_err());
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    let conn = *unfenced.release().await.unwrap();
    let kept = keep(LOCK.fenced(), conn, OFTEN).await;
    assert_eq!(kept.transaction(&mut other, log).await, Ok(1));
    kept.release().await.unwrap();
    assert_eq!(number("(SELECT COUNT(*) FROM log)", &mut other).await, Ok(1));
}
