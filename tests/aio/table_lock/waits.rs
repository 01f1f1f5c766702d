use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection as _;
use diesel_locks::Error;
use diesel_locks::aio::TableLock;

use crate::support::{Admin, Database, Listings, connection_id, is_mysql, keep, soon};

fn tables() -> TableLock {
    TableLock::new().write_table("work")
}

#[tokio::test]
async fn a_wait_ends_at_its_timeout_or_that_of_the_session() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let _held = tables().acquire(&mut one).await.unwrap();
    for (lock, set) in [
        (tables().timeout(Duration::from_millis(1_200)), "DO 0"),
        (tables(), "SET lock_wait_timeout = 1"),
    ] {
        two.batch_execute(set).await.unwrap();
        let started = Instant::now();
        let timed_out = lock.acquire(&mut two).await.map(drop);
        let Err(Error::Timeout { timeout, is_table_lock: true, .. }) = timed_out else {
            panic!("{timed_out:?}");
        };
        assert!(started.elapsed() >= timeout.min(Duration::from_secs(1)), "{timeout:?}");
    }
}

#[tokio::test]
async fn the_next_comes_when_the_tables_are_unlocked_and_blockers_say_who_is_first() {
    let listings = Listings::load().await;
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let mut other = database.connect().await;
    let (first, second) = (connection_id(&mut one).await, connection_id(&mut two).await);
    let guard = tables().acquire(&mut one).await.unwrap();
    let waiting = tokio::spawn(async move {
        let done: QueryResult<()> = tables().with(&mut two, async |_| Ok(())).await;
        done
    });
    Admin::connect().await.until_waiting(second).await;
    match tables().blockers(&mut other).await {
        Ok(blockers) => {
            let holds = blockers.iter().any(|one| one.granted && one.process.id == first);
            assert!(holds, "{blockers:?}");
            if is_mysql().await {
                let waits = blockers.iter().any(|one| !one.granted && one.process.id == second);
                assert!(waits, "{blockers:?}");
            }
        }
        Err(Error::Unsupported { .. }) if !listings.any => {}
        Err(error) => panic!("{error:?}"),
    }
    guard.release().await.unwrap();
    assert_eq!(soon("the next", waiting).await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_wait_that_is_killed_is_interrupted_or_lost() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut two).await;
    let mut admin = Admin::connect().await;
    let _held = tables().acquire(&mut one).await.unwrap();
    for connection in [false, true] {
        let kill = async {
            admin.until_waiting(id).await;
            if connection { admin.kill_connection(id).await } else { admin.kill_query(id).await }
        };
        let acquire = async { tables().acquire(&mut two).await.map(drop) };
        let (killed, ()) = soon("a killed wait", async { tokio::join!(acquire, kill) }).await;
        match killed {
            Err(Error::Interrupted { .. }) if !connection => {}
            Err(Error::ConnectionLost(_)) if connection => {}
            other => panic!("{connection}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_one_fails() {
    let database = Database::create().await;
    let (mut one, mut two) = (database.connect().await, database.connect().await);
    let id = connection_id(&mut one).await;
    let mut admin = Admin::connect().await;
    let lock = diesel_locks::aio::Lock::new("l");
    // The first waits for the lock, under its table; the second for the table, under its lock.
    let mut tables_held = tables().acquire(&mut one).await.unwrap();
    let mut lock_held = lock.acquire(&mut two).await.unwrap();
    let (a, b) = soon("a deadlock", async {
        let first = async {
            let result = lock.acquire(&mut tables_held).await.map(keep);
            tables_held.release().await.unwrap();
            result
        };
        let second = async {
            admin.until_waiting(id).await;
            let locked: QueryResult<()> = tables().with(&mut lock_held, async |_| Ok(())).await;
            let result = locked.map_err(Error::from);
            lock_held.release().await.unwrap();
            result
        };
        tokio::join!(first, second)
    })
    .await;
    let deadlocks =
        [&a, &b].iter().filter(|end| matches!(end, Err(Error::Deadlock { .. }))).count();
    assert_eq!(deadlocks, 1, "{a:?}, {b:?}");
}
