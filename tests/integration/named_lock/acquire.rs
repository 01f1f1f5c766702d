//! Acquiring and releasing named locks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};

static NIGHTLY: Lock = Lock::new("nightly");

#[test]
fn a_lock_is_held_by_one_connection_at_a_time() {
    static INSIDE: AtomicBool = AtomicBool::new(false);
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let db = Database::new();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut conn = db.connect();
                for _ in 0..25 {
                    NIGHTLY
                        .with(&mut conn, |conn| {
                            assert!(!INSIDE.swap(true, Ordering::SeqCst));
                            // Gives the other threads time to enter.
                            connection_id(conn);
                            RUNS.fetch_add(1, Ordering::SeqCst);
                            assert!(INSIDE.swap(false, Ordering::SeqCst));
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(RUNS.load(Ordering::SeqCst), 100);
}

#[test]
fn a_waiter_gets_the_lock_when_the_guard_is_released_or_dropped() {
    let db = Database::new();
    let (mut holder, mut waiter, mut admin) = (db.connect(), db.connect(), Admin::new());
    let waiter_id = connection_id(&mut waiter);
    for dropped in [false, true] {
        let guard = NIGHTLY.acquire(&mut holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| NIGHTLY.acquire(&mut waiter).unwrap().is_still_held());
            admin.until_waiting(waiter_id);
            if dropped {
                drop(guard);
            } else {
                guard.release().unwrap();
            }
            assert!(waiting.join().unwrap().unwrap());
        });
    }
    assert_eq!(admin.holder(&db.full_name("nightly")), None);
}

#[test]
fn try_acquire_does_not_wait_for_a_busy_lock() {
    let db = Database::new();
    let (mut holder, mut other) = (db.connect(), db.connect());
    let guard = NIGHTLY.without_timeout().acquire(&mut holder).unwrap();
    let tried = NIGHTLY.without_timeout();
    assert!(tried.try_acquire(&mut other).unwrap().is_none());
    let ran = tried.try_with(&mut other, |_| -> Result<(), Error> { panic!("runs unlocked") });
    assert!(ran.unwrap().is_none());
    assert_eq!(count_and_release_locks(&mut other), 0);

    guard.release().unwrap();
    assert!(tried.try_acquire(&mut other).unwrap().is_some());
    assert_eq!(tried.try_with(&mut other, |_| Ok::<_, Error>(7)).unwrap(), Some(7));
    assert_eq!(count_and_release_locks(&mut other), 0);
}

#[test]
fn a_body_runs_under_the_lock_and_its_value_comes_back() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let value = NIGHTLY.with(&mut conn, |conn| {
        assert_eq!(admin.holder(&db.full_name("nightly")), Some(id));
        assert_eq!(connection_id(conn), id);
        Ok::<_, Error>("value")
    });
    assert_eq!(value.unwrap(), "value");
    assert_eq!(admin.holder(&db.full_name("nightly")), None);
}

#[test]
fn the_lock_is_released_when_the_body_fails() {
    let db = Database::new();
    let mut conn = db.connect();
    let failed = NIGHTLY.with(&mut conn, |_| Err::<(), _>(diesel::result::Error::NotFound));
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
    let failed = NIGHTLY.try_with(&mut conn, |_| Err::<(), _>(diesel::result::Error::NotFound));
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn the_lock_is_released_when_the_body_panics() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("the body's") };
    for call in [
        (|lock, conn, body| lock.with(conn, body)) as fn(&Lock, &mut _, fn(&mut _) -> _) -> _,
        |lock, conn, body| lock.try_with(conn, body).map(drop),
        |lock, conn, body| lock.transaction(conn, body),
    ] {
        let panic = catch_unwind(AssertUnwindSafe(|| call(&NIGHTLY, &mut conn, body)));
        assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "the body's");
        assert_eq!(count_and_release_locks(&mut conn), 0);
        // The connection stays usable.
        NIGHTLY.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap();
    }
}

#[test]
fn the_bodys_error_takes_precedence_over_the_releases() {
    let db = Database::new();
    let mut conn = db.connect();
    let failed = NIGHTLY.with(&mut conn, |conn| {
        count_and_release_locks(conn);
        Err::<(), _>(diesel::result::Error::NotFound)
    });
    assert_eq!(failed, Err(diesel::result::Error::NotFound));
}

#[test]
fn a_body_that_outlives_its_lock_returns_not_held() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let body = |conn: &mut MysqlConnection| {
        assert_eq!(count_and_release_locks(conn), 1);
        Ok::<_, Error>(())
    };
    let lost = NIGHTLY.with(&mut conn, body);
    assert!(matches!(lost, Err(Error::NotHeld { .. })), "{lost:?}");
    let lost = NIGHTLY.try_with(&mut conn, body);
    assert!(matches!(lost, Err(Error::NotHeld { .. })), "{lost:?}");
    let lost = NIGHTLY.transaction(&mut conn, body);
    assert!(matches!(lost, Err(Error::NotHeld { .. })), "{lost:?}");
}

#[test]
fn a_guard_reports_that_its_lock_was_lost() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let mut guard = NIGHTLY.acquire(&mut conn).unwrap();
    assert!(guard.is_still_held().unwrap());

    assert_eq!(count_and_release_locks(&mut guard), 1);
    assert!(!guard.is_still_held().unwrap());
    let taken_over = NIGHTLY.acquire(&mut other).unwrap();
    assert!(!guard.is_still_held().unwrap());
    let lost = guard.release().map(drop);
    assert!(matches!(&lost, Err(Error::NotHeld { .. })), "{lost:?}");
    assert!(lost.unwrap_err().to_string().contains("nightly"));
    taken_over.release().unwrap();
}

#[test]
fn a_guard_dereferences_to_its_connection() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let mut guard = NIGHTLY.acquire(&mut conn).unwrap();
    diesel::insert_into(audit_log::table)
        .values(audit_log::message.eq("under the lock"))
        .execute(&mut *guard)
        .unwrap();
    let conn = guard.release().unwrap();
    assert_eq!(audit_log::table.count().get_result::<i64>(conn).unwrap(), 1);
}

#[test]
fn a_lock_is_reentrant_and_released_once_per_acquisition() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let mut outer = NIGHTLY.acquire(&mut conn).unwrap();
    let inner = NIGHTLY.try_acquire(&mut outer).unwrap().unwrap();
    inner.release().unwrap();
    assert!(outer.is_still_held().unwrap());
    assert!(NIGHTLY.try_acquire(&mut other).unwrap().is_none());
    NIGHTLY.with(&mut outer, |_| Ok::<_, Error>(())).unwrap();
    assert!(NIGHTLY.try_acquire(&mut other).unwrap().is_none());
    outer.release().unwrap();
    assert!(NIGHTLY.try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn two_locks_can_be_held_at_once_and_released_in_any_order() {
    let db = Database::new();
    let mut conn = db.connect();
    let first = Lock::new("first");
    let conn_again = first.acquire(&mut conn).unwrap().leak();
    let second = Lock::new("second").acquire(conn_again).unwrap();
    let conn_again = second.leak();
    first.release(conn_again).unwrap();
    assert!(!first.is_held(conn_again).unwrap());
    assert!(Lock::new("second").is_held(conn_again).unwrap());
    assert_eq!(count_and_release_locks(conn_again), 1);
}

#[test]
fn a_leaked_lock_is_held_until_it_is_released_by_name() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    NIGHTLY.acquire(&mut conn).unwrap().leak();
    assert!(NIGHTLY.try_acquire(&mut other).unwrap().is_none());
    NIGHTLY.release(&mut conn).unwrap();
    assert!(NIGHTLY.try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn a_lock_is_released_only_by_the_connection_that_holds_it() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    for lock in [NIGHTLY, NIGHTLY.server_wide(), NIGHTLY.shortened()] {
        let unheld = lock.release(&mut other);
        assert!(matches!(unheld, Err(Error::NotHeld { .. })), "{unheld:?}");
        let mut guard = lock.acquire(&mut conn).unwrap();
        let foreign = lock.release(&mut other);
        assert!(matches!(foreign, Err(Error::NotHeld { .. })), "{foreign:?}");
        assert!(guard.is_still_held().unwrap());
    }
}

#[test]
fn all_locks_of_a_connection_can_be_released_at_once() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    assert_eq!(Lock::release_all(&mut conn).unwrap(), 0);
    let kept = Lock::new("kept").acquire(&mut other).unwrap();
    for name in ["a", "a", "b"] {
        Lock::new(name).acquire(&mut conn).unwrap().leak();
    }
    conn.batch_execute("DO GET_LOCK('diesel-locks-foreign', 0)").unwrap();
    assert_eq!(Lock::release_all(&mut conn).unwrap(), 4);
    assert_eq!(Lock::release_all(&mut conn).unwrap(), 0);
    kept.release().unwrap();
}

#[test]
fn a_lock_value_by_itself_locks_nothing() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let lock = NIGHTLY.without_timeout().shortened();
    let copy = lock;
    drop(lock.acquire(&mut conn).unwrap());
    let _ = copy;
    assert_eq!(admin.holder(&db.full_name("nightly")), None);
}
