//! Fenced locks: tokens, and transactions that only the last holder commits.

use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_locks::aio::Lock;
use diesel_locks::{Error, OpenTransaction};

use crate::support::{Database, Proxy, alone};

const LOCK: Lock = Lock::new("lock").fenced();

async fn database() -> Database {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    Lock::create_fences(&mut conn).await.unwrap();
    conn.batch_execute("CREATE TABLE written (id INT)").await.unwrap();
    database
}

async fn write(conn: &mut AsyncMysqlConnection) -> Result<(), Error> {
    conn.batch_execute("INSERT INTO written VALUES (1)").await.map_err(Error::from)
}

async fn written(database: &Database) -> i64 {
    let count = diesel::dsl::sql::<BigInt>("SELECT COUNT(*) FROM written");
    count.get_result(&mut database.connect().await).await.unwrap()
}

#[tokio::test]
async fn each_acquisition_draws_a_greater_token() {
    let database = database().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    for token in [1, 3] {
        let guard = LOCK.acquire(&mut conn).await.unwrap();
        assert_eq!(guard.fencing_token(), Some(token));
        guard.release().await.unwrap();
        let guard = LOCK.try_acquire(&mut other).await.unwrap().unwrap();
        assert_eq!(guard.fencing_token(), Some(token + 1));
        guard.release().await.unwrap();
    }
    let guard = Lock::new("lock").acquire(&mut conn).await.unwrap();
    assert_eq!(guard.fencing_token(), None);
    guard.release().await.unwrap();
}

#[tokio::test]
async fn a_holder_that_was_superseded_commits_nothing() {
    let database = database().await;
    let mut conn = database.connect().await;
    let mut guard = LOCK.acquire(&mut conn).await.unwrap();
    guard.transaction(write).await.unwrap();
    Lock::release_all(&mut guard).await.unwrap();
    LOCK.transaction(&mut database.connect().await, write).await.unwrap();
    let refused = guard.transaction(write).await;
    assert!(matches!(refused, Err(Error::Superseded { token: 1, .. })), "{refused:?}");
    let released = guard.release().await.map(drop);
    assert!(matches!(released, Err(Error::NotHeld { .. })), "{released:?}");
    assert_eq!(written(&database).await, 2);
    // The connection can go on.
    LOCK.transaction(&mut conn, write).await.unwrap();
    assert_eq!(written(&database).await, 3);
}

#[tokio::test]
async fn what_a_draw_cannot_do_is_refused_and_leaves_no_lock() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let missing = LOCK.acquire(&mut conn).await.map(drop);
    assert!(matches!(missing, Err(Error::Unsupported { .. })), "{missing:?}");
    Lock::create_fences(&mut conn).await.unwrap();
    conn.batch_execute("BEGIN").await.unwrap();
    let open = LOCK.acquire(&mut conn).await.map(drop);
    assert!(
        matches!(open, Err(Error::InTransaction { when: OpenTransaction::Before, .. })),
        "{open:?}"
    );
    conn.batch_execute("ROLLBACK").await.unwrap();
    conn.begin_test_transaction().await.unwrap();
    let test = LOCK.acquire(&mut conn).await.map(drop);
    assert!(
        matches!(test, Err(Error::InTransaction { when: OpenTransaction::Test, .. })),
        "{test:?}"
    );
    LOCK.try_acquire(&mut other).await.unwrap().unwrap().release().await.unwrap();
}

alone! {
    async fn a_free_fenced_lock_costs_four_round_trips() {
        let (database, proxy) = (database().await, Proxy::start().await);
        let mut conn = database.connect_through(&proxy).await;
        for is_warm in [false, true] {
            proxy.take();
            let guard = LOCK.acquire(&mut conn).await.unwrap();
            let requests = proxy.take();
            guard.release().await.unwrap();
            assert!(!is_warm || requests.len() == 4, "{requests:#?}");
        }
    }
}
