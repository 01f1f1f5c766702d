//! Connections and statements that are killed while they wait for a lock or hold it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::watchdog;

const LOCK: Lock = Lock::new("lock");
const FIRST: Lock = Lock::new("first").without_timeout();

#[test]
fn a_killed_wait_is_interrupted_and_the_connection_stays_usable() {
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        for lock in [
            LOCK,
            LOCK,
            LOCK.without_timeout(),
            LOCK.timeout(Duration::from_millis(9_500)),
            LOCK.timeout(Duration::MAX),
            LOCK.shortened(),
            LOCK.server_wide(),
        ] {
            let held = lock.acquire(&mut holder).unwrap();
            thread::scope(|threads| {
                let waiting = threads.spawn(|| lock.acquire(&mut conn).map(drop));
                admin.until_waiting(id);
                admin.kill_query(id);
                let killed = waiting.join().unwrap();
                assert!(matches!(killed, Err(Error::Interrupted { .. })), "{killed:?}");
            });
            assert_eq!(count_and_release_locks(&mut conn), 0);
            assert!(lock.try_acquire(&mut conn).unwrap().is_none());
            held.release().unwrap();
            lock.acquire(&mut conn).unwrap().release().unwrap();
        }
    });
}

#[test]
fn a_killed_wait_is_recognized_in_every_language() {
    let db = Database::new();
    let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let _held = LOCK.acquire(&mut holder).unwrap();
    for language in ["de_DE", "ja_JP"] {
        conn.batch_execute(&format!("SET lc_messages = {language}")).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| LOCK.acquire(&mut conn).map(drop));
            admin.until_waiting(id);
            admin.kill_query(id);
            let killed = waiting.join().unwrap();
            assert!(matches!(killed, Err(Error::Interrupted { .. })), "{killed:?}");
        });
    }
}

#[test]
fn a_failed_wait_keeps_the_other_locks_of_the_connection() {
    let db = Database::new();
    let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let _held = LOCK.acquire(&mut holder).unwrap();
    let mut kept = FIRST.acquire(&mut conn).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| LOCK.acquire(&mut kept).map(drop));
        admin.until_waiting(id);
        admin.kill_query(id);
        assert!(waiting.join().unwrap().is_err());
    });
    assert!(LOCK.timeout(Duration::from_millis(5)).acquire(&mut kept).is_err());
    assert!(LOCK.timeout(Duration::ZERO).acquire(&mut kept).is_err());
    assert!(Lock::new("").acquire(&mut kept).is_err());
    assert!(Lock::new(&"n".repeat(500)).acquire(&mut kept).is_err());
    assert!(kept.is_still_held().unwrap());
    kept.release().unwrap();
}

#[test]
fn a_failed_wait_leaves_an_open_transaction_open_and_uncommitted() {
    let db = Database::with_tables();
    let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let _held = LOCK.acquire(&mut holder).unwrap();
    let rows = |conn: &mut MysqlConnection| audit_log::table.count().get_result::<i64>(conn);
    let rolled_back = conn.transaction(|conn| {
        diesel::insert_into(audit_log::table)
            .values(audit_log::message.eq("before"))
            .execute(conn)?;
        thread::scope(|threads| {
            let waiting = threads.spawn(|| LOCK.acquire(conn).map(drop));
            admin.until_waiting(id);
            admin.kill_query(id);
            assert!(waiting.join().unwrap().is_err());
        });
        assert!(LOCK.timeout(Duration::from_millis(5)).acquire(conn).is_err());
        assert_eq!(rows(conn)?, 1);
        Err::<(), _>(diesel::result::Error::RollbackTransaction)
    });
    assert_eq!(rolled_back, Err(diesel::result::Error::RollbackTransaction));
    assert_eq!(rows(&mut conn).unwrap(), 0);
}

#[test]
fn a_panic_in_the_body_survives_a_lost_connection() {
    let db = Database::new();
    let mut admin = Admin::new();
    let body = |conn: &mut MysqlConnection| -> Result<(), Error> {
        let id = connection_id(conn);
        admin.kill_connection(id);
        panic!("in the body");
    };
    let mut conn = db.connect();
    let panic = catch_unwind(AssertUnwindSafe(|| LOCK.with(&mut conn, body))).unwrap_err();
    assert_eq!(*panic.downcast::<&str>().unwrap(), "in the body");
    assert!(conn.is_broken());
    admin.until_free(&db.full_name("lock"));
}

#[test]
fn a_killed_holder_gets_an_error_and_the_next_waiter_gets_the_lock() {
    let db = Database::new();
    let mut admin = Admin::new();
    for dropped in [false, true] {
        let (mut holder, mut waiter) = (db.connect(), db.connect());
        let (holder_id, waiter_id) = (connection_id(&mut holder), connection_id(&mut waiter));
        let mut guard = LOCK.acquire(&mut holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| LOCK.acquire(&mut waiter).unwrap().release().map(drop));
            admin.until_waiting(waiter_id);
            admin.kill_connection(holder_id);
            waiting.join().unwrap().unwrap();
        });
        if dropped {
            drop(guard);
        } else {
            let held = guard.is_still_held();
            assert!(matches!(held, Err(Error::ConnectionLost(_))), "{held:?}");
            let lost = guard.release().map(drop);
            assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
        }
        assert!(holder.is_broken(), "a pool would keep the connection");
        let again = LOCK.acquire(&mut holder).map(drop);
        assert!(matches!(again, Err(Error::ConnectionLost(_))), "{again:?}");
    }
}

#[test]
fn a_body_whose_connection_is_killed_returns_an_error() {
    let db = Database::with_tables();
    let mut admin = Admin::new();
    for transaction in [false, true] {
        let mut conn = db.connect();
        let id = connection_id(&mut conn);
        let body = |_: &mut MysqlConnection| {
            admin.kill_connection(id);
            Ok::<_, Error>(())
        };
        let lost = if transaction {
            LOCK.transaction(&mut conn, body)
        } else {
            LOCK.with(&mut conn, body)
        };
        assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
        assert!(conn.is_broken());
        admin.until_free(&db.full_name("lock"));
    }
}

#[test]
fn a_killed_waiter_leaves_the_lock_to_others() {
    let db = Database::new();
    let (mut holder, mut admin) = (db.connect(), Admin::new());
    for lock in [LOCK, LOCK.timeout(Duration::from_millis(9_500)), LOCK.without_timeout()] {
        let mut conn = db.connect();
        let id = connection_id(&mut conn);
        let held = lock.acquire(&mut holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| lock.acquire(&mut conn).map(drop));
            admin.until_waiting(id);
            admin.kill_connection(id);
            let killed = waiting.join().unwrap();
            assert!(matches!(killed, Err(Error::ConnectionLost(_))), "{killed:?}");
        });
        assert!(lock.acquire(&mut conn).is_err());
        assert!(conn.is_broken());
        held.release().unwrap();
        let mut next = db.connect();
        lock.acquire(&mut next).unwrap().release().unwrap();
    }
}
