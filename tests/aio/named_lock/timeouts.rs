use std::time::{Duration, Instant};

use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::Lock;

use crate::support::{Admin, Database, Proxy, connection_id, is_mysql, keep, soon, until};

const LOCK: Lock = Lock::new("slow");

async fn time_out(timeout: Duration, conn: &mut AsyncMysqlConnection) {
    let started = Instant::now();
    let result = LOCK.timeout(timeout).acquire(conn).await.map(keep);
    let took = started.elapsed();
    assert!(took >= timeout, "waited {took:?}, less than the timeout of {timeout:?}");
    match result {
        Err(Error::Timeout { timeout: reported, holder: Some(_), .. }) => {
            assert_eq!(reported, timeout);
        }
        other => panic!("timeout of {timeout:?}: {other:?}"),
    }
}

#[tokio::test]
async fn a_wait_is_never_shorter_than_its_timeout() {
    let database = Database::create().await;
    let mut holder = database.connect().await;
    LOCK.acquire(&mut holder).await.unwrap().leak();
    let waits =
        [0, 1, 999, 1_000, 50_000, 499_999, 600_000, 999_001, 1_000_000, 1_000_001, 1_500_000].map(
            |micros| {
                let database = &database;
                async move {
                    let mut conn = database.connect().await;
                    // The second time, the statements are cached.
                    for _ in 0..2 {
                        time_out(Duration::from_micros(micros), &mut conn).await;
                    }
                    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
                }
            },
        );
    futures_util::future::join_all(waits).await;
}

#[tokio::test]
async fn a_free_lock_is_acquired_whatever_the_timeout() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    for lock in [
        LOCK.timeout(Duration::ZERO),
        LOCK.timeout(Duration::from_nanos(1)),
        LOCK.timeout(Duration::from_millis(2_500)),
        LOCK.timeout(Duration::from_secs(100_000_000)),
        LOCK.timeout(Duration::MAX),
        LOCK.without_timeout(),
    ] {
        let mut guard = lock.acquire(&mut conn).await.unwrap();
        assert!(guard.is_still_held().await.unwrap(), "{lock:?}");
        guard.release().await.unwrap();
    }
    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
}

/// A server that cannot be reached by `KILL QUERY` ends the wait of a dropped call by then.
#[tokio::test]
async fn no_wait_of_more_than_a_minute_is_asked_of_the_server() {
    let (database, proxy) = (Database::create().await, Proxy::start().await);
    let mut holder = database.connect().await;
    let mut admin = Admin::connect().await;
    for lock in [
        LOCK.timeout(Duration::from_secs(61)),
        LOCK.timeout(Duration::MAX),
        LOCK.without_timeout(),
        LOCK.timeout(Duration::from_secs(59)),
    ] {
        let guard = LOCK.acquire(&mut holder).await.unwrap();
        let mut conn = database.connect_through(&proxy).await;
        let id = connection_id(&mut conn).await;
        proxy.take();
        let release = async {
            admin.until_waiting(id).await;
            guard.release().await.unwrap();
        };
        let acquire = async {
            lock.acquire(&mut conn).await.unwrap().release().await.unwrap();
        };
        let both = Box::pin(async { tokio::join!(acquire, release) });
        soon("the lock", both).await;
        let seconds = if lock == LOCK.timeout(Duration::from_secs(59)) { 59_i64 } else { 60 };
        let executed = proxy
            .take_packets()
            .iter()
            .any(|packet| packet.windows(8).any(|bytes| bytes == seconds.to_le_bytes()));
        assert!(executed, "{lock:?} asked for other than {seconds} s");
    }
}

#[tokio::test]
async fn a_time_limit_of_the_session_does_not_cut_a_wait_short_on_mysql() {
    let database = Database::create().await;
    let (mut holder, mut conn) = (database.connect().await, database.connect().await);
    LOCK.acquire(&mut holder).await.unwrap().leak();
    if is_mysql().await {
        conn.batch_execute("SET max_execution_time = 100").await.unwrap();
        for millis in [700, 1_000] {
            time_out(Duration::from_millis(millis), &mut conn).await;
        }
    } else {
        conn.batch_execute("SET max_statement_time = 0.3").await.unwrap();
        let cut = LOCK.acquire(&mut conn).await.map(keep);
        assert!(matches!(cut, Err(Error::Interrupted { .. })), "{cut:?}");
    }
    assert_eq!(Lock::release_all(&mut conn).await.unwrap(), 0);
}

#[tokio::test]
async fn a_wait_for_a_fraction_of_a_second_gets_the_lock_when_it_is_released() {
    let database = Database::create().await;
    let (mut holder, mut conn) = (database.connect().await, database.connect().await);
    let (mut admin, id) = (Admin::connect().await, connection_id(&mut conn).await);
    let guard = LOCK.acquire(&mut holder).await.unwrap();
    let waiting = tokio::spawn(async move {
        let lock = LOCK.timeout(Duration::from_millis(30_900));
        lock.acquire(&mut conn).await.unwrap().release().await.unwrap();
    });
    until("the other waits", async || admin.is_waiting(id).await).await;
    guard.release().await.unwrap();
    soon("the other", waiting).await.unwrap();
}
