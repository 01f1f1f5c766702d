use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_async::AsyncMysqlConnection;
use diesel_locks::aio::Lock;
use diesel_locks::{Error, with_lock};

use crate::support::Database;

const MINIMUM: Duration = Duration::from_millis(700);

#[tokio::test]
async fn work_that_succeeds_keeps_the_lock_for_the_minimum() {
    let database = Database::create().await;
    let (mut conn, mut other) = (database.connect().await, database.connect().await);
    let lock = Lock::new("digest").hold_at_least(MINIMUM);
    let started = Instant::now();
    let working = lock.with(&mut conn, async |_| Ok::<_, Error>(()));
    let looking = async {
        // Until it has the lock, and then until it has it again.
        while !lock.is_held(&mut other).await.unwrap() {}
        while lock.try_acquire(&mut other).await.unwrap().is_none() {}
        started.elapsed()
    };
    let (worked, looked) = futures_util::future::join(working, looking).await;
    worked.unwrap();
    assert!(looked >= MINIMUM, "{looked:?}");
}

#[tokio::test]
async fn work_that_fails_releases_the_lock_immediately() {
    let database = Database::create().await;
    let mut conn = database.connect().await;
    let lock = Lock::new("digest").hold_at_least(Duration::from_secs(3_600));
    let failed = lock.with(&mut conn, async |_| Err::<(), _>(Error::NoTables)).await;
    assert!(matches!(failed, Err(Error::NoTables)), "{failed:?}");
    assert!(!lock.is_held(&mut conn).await.unwrap());
    let set = Lock::all(["a", "b"]).hold_at_least(MINIMUM);
    let started = Instant::now();
    set.acquire(&mut conn).await.unwrap().release().await.unwrap();
    assert!(started.elapsed() >= MINIMUM);
}

#[with_lock("digest", if_busy = Ok(false), hold_at_least = MINIMUM)]
async fn digest(_conn: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    Ok(true)
}

#[tokio::test]
async fn of_two_functions_that_start_at_once_one_runs() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let started = Instant::now();
    let (first, second) = futures_util::future::join(digest(&mut one), digest(&mut two)).await;
    assert!(started.elapsed() >= MINIMUM);
    assert_ne!(first, second);
    assert!(first.is_ok() && second.is_ok());
}
