//! `Lock::hold_at_least`: a lock that outlasts a short body.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, with_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::log;
use crate::support::watchdog;

/// Longer than a test may take.
const FOREVER: Lock = Lock::new("lock").hold_at_least(Duration::from_secs(3_600));

const MINIMUM: Duration = Duration::from_millis(1_300);
const BRIEF: Lock = Lock::new("lock").hold_at_least(MINIMUM);

#[track_caller]
fn expect_minimum(what: &str, work: impl FnOnce()) {
    let started = Instant::now();
    work();
    let took = started.elapsed();
    assert!(took >= MINIMUM, "{what}: {took:?}");
}

#[test]
fn work_that_succeeds_keeps_the_lock_for_the_minimum() {
    #[with_lock("lock", hold_at_least = 1.3)]
    fn seconds(_conn: &mut MysqlConnection) -> QueryResult<()> {
        Ok(())
    }
    #[with_lock("lock", hold_at_least = MINIMUM, if_busy = Ok(()), transaction)]
    fn duration(_conn: &mut MysqlConnection) -> QueryResult<()> {
        Ok(())
    }
    type Work = fn(&mut MysqlConnection);
    let work: [(&str, Work); 8] = [
        ("with", |conn| BRIEF.with(conn, |_| Ok::<_, Error>(())).unwrap()),
        ("try_with", |conn| BRIEF.try_with(conn, |_| Ok::<_, Error>(())).unwrap().unwrap()),
        ("transaction", |conn| BRIEF.transaction(conn, |_| Ok::<_, Error>(())).unwrap()),
        ("release", |conn| {
            BRIEF.acquire(conn).unwrap().release().unwrap();
        }),
        ("a set", |conn| {
            let set = Lock::all(["lock", "other"]).hold_at_least(MINIMUM);
            set.with(conn, |_| Ok::<_, Error>(())).unwrap();
        }),
        ("seconds", |conn| seconds(conn).unwrap()),
        ("duration", |conn| duration(conn).unwrap()),
        ("an idle limit", |conn| {
            conn.batch_execute("SET wait_timeout = 1").unwrap();
            BRIEF.with(conn, |_| Ok::<_, Error>(())).unwrap();
        }),
    ];
    thread::scope(|threads| {
        for (what, work) in work {
            threads.spawn(move || {
                // Not in each other's way.
                let db = Database::new();
                let mut conn = db.connect();
                expect_minimum(what, || work(&mut conn));
                assert_eq!(count_and_release_locks(&mut conn), 0, "{what}");
            });
        }
    });
}

#[test]
fn the_lock_is_busy_until_the_minimum_is_over() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let (done, body_done) = mpsc::channel();
    let started = Instant::now();
    thread::scope(|threads| {
        threads.spawn(|| {
            BRIEF
                .transaction(&mut conn, |conn| {
                    log(conn, "in the body")?;
                    done.send(()).unwrap();
                    Ok::<_, Error>(())
                })
                .unwrap();
        });
        body_done.recv().unwrap();
        while BRIEF.try_acquire(&mut other).unwrap().is_none() {
            thread::yield_now();
        }
        assert!(started.elapsed() >= MINIMUM);
    });
    // The transaction was committed before the wait.
    assert_eq!(audit_log::table.count().get_result(&mut other), Ok(1_i64));
}

#[test]
fn a_transaction_is_committed_before_the_wait() {
    let db = Database::with_tables();
    let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    thread::scope(|threads| {
        let working = threads.spawn(|| FOREVER.transaction(&mut conn, |conn| log(conn, "body")));
        admin.until_sleeping(id);
        assert_eq!(audit_log::table.count().get_result(&mut other), Ok(1_i64));
        assert!(FOREVER.try_acquire(&mut other).unwrap().is_none());
        admin.kill_connection(id);
        let lost = working.join().unwrap().map_err(Error::from);
        assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
    });
    admin.until_free(&db.full_name("lock"));
}

#[test]
fn a_body_that_fails_or_panics_releases_the_lock_immediately() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        let failing = |_: &mut MysqlConnection| Err::<(), _>(Error::NoTables);
        assert!(matches!(FOREVER.with(&mut conn, failing), Err(Error::NoTables)));
        assert!(matches!(FOREVER.try_with(&mut conn, failing), Err(Error::NoTables)));
        assert!(matches!(FOREVER.transaction(&mut conn, failing), Err(Error::NoTables)));
        // Succeeds, but nothing of it is committed by the library.
        let ended = FOREVER.transaction(&mut conn, |conn| conn.batch_execute("COMMIT"));
        let ended = ended.map_err(Error::from);
        assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{ended:?}");
        let panicking = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("in the body") };
        catch_unwind(AssertUnwindSafe(|| FOREVER.with(&mut conn, panicking))).unwrap_err();
        drop(FOREVER.acquire(&mut conn).unwrap());
        assert_eq!(count_and_release_locks(&mut conn), 0);
        // `Lock::release` does not know when the lock was acquired.
        FOREVER.acquire(&mut conn).unwrap().leak();
        FOREVER.release(&mut conn).unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
    });
}

#[test]
fn a_killed_query_does_not_end_the_wait() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    thread::scope(|threads| {
        let working = threads.spawn(|| FOREVER.with(&mut conn, |_| Ok::<_, Error>(())));
        for _ in 0..3 {
            admin.until_sleeping(id);
            admin.kill_query(id);
        }
        admin.until_sleeping(id);
        assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
        admin.kill_connection(id);
        let lost = working.join().unwrap();
        assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
    });
}

#[test]
fn of_many_that_start_at_once_one_does_the_work() {
    const CONNECTIONS: usize = 8;
    watchdog(|| {
        let db = Database::new();
        let (start, done) = (Barrier::new(CONNECTIONS), AtomicU32::new(0));
        thread::scope(|threads| {
            let (winner, winners) = mpsc::channel();
            let losers: Vec<_> = (0..CONNECTIONS)
                .map(|_| {
                    let (db, start, done, winner) = (&db, &start, &done, winner.clone());
                    threads.spawn(move || {
                        let mut conn = db.connect();
                        let id = connection_id(&mut conn);
                        start.wait();
                        let ran = FOREVER.try_with(&mut conn, |_| {
                            done.fetch_add(1, Ordering::SeqCst);
                            winner.send(id).unwrap();
                            Ok::<_, Error>(())
                        });
                        matches!(ran, Ok(None))
                    })
                })
                .collect();
            let mut admin = Admin::new();
            let winner = winners.recv().unwrap();
            admin.until_sleeping(winner);
            // All others have seen that it is busy before it is freed.
            while losers.iter().filter(|loser| loser.is_finished()).count() < CONNECTIONS - 1 {
                thread::yield_now();
            }
            admin.kill_connection(winner);
            let stood_aside = losers.into_iter().filter_map(|loser| loser.join().ok());
            assert_eq!(stood_aside.filter(|&aside| aside).count(), CONNECTIONS - 1);
        });
        assert_eq!(done.into_inner(), 1);
    });
}
