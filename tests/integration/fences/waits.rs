//! A draw waits for the open transaction of an earlier holder, within the timeout.

use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_locks::{Error, Lock};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::session;
use crate::support::until;

const LOCK: Lock = Lock::new("lock").fenced();

/// Runs the closure while an earlier holder has a transaction open, but not the lock.
fn with_open_transaction(db: &Database, body: impl FnOnce()) {
    let mut earlier = db.connect();
    LOCK.acquire(&mut earlier).unwrap().release().unwrap();
    let write = "UPDATE diesel_locks_fences SET checks = checks + 1 WHERE name";
    earlier.batch_execute(&format!("BEGIN; {write} = '{}'", db.full_name("lock"))).unwrap();
    body();
    earlier.batch_execute("COMMIT").unwrap();
}

/// Blocks until the connection runs a draw that waits.
fn is_drawing(id: u64, admin: &mut Admin) -> bool {
    let is_drawing = format!(
        "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST \
         WHERE ID = {id} AND INFO LIKE '%diesel_locks_fences%ON DUPLICATE KEY%')"
    );
    diesel::select(sql::<Bool>(&is_drawing)).get_result(&mut admin.0).unwrap()
}

fn until_drawing(id: u64) {
    let mut admin = Admin::new();
    until("the draw waits", || is_drawing(id, &mut admin));
}

#[test]
fn the_wait_ends_at_the_timeout_and_the_lock_is_free() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.batch_execute("SET lock_wait_timeout = 77, innodb_lock_wait_timeout = 78").unwrap();
    let found = session(&mut conn);
    with_open_transaction(&db, || {
        for timeout in [Duration::ZERO, Duration::from_millis(300), Duration::from_secs(2)] {
            let started = Instant::now();
            let error = LOCK.timeout(timeout).acquire(&mut conn).map(drop).unwrap_err();
            assert!(started.elapsed() >= timeout);
            assert!(started.elapsed() < Duration::from_secs(40), "it waited as the session does");
            assert!(
                matches!(&error, Error::Timeout { timeout: t, .. } if *t == timeout),
                "{error}"
            );
            assert_eq!(Admin::new().holder(&db.full_name("lock")), None);
            assert_eq!(session(&mut conn), found);
        }
        assert!(LOCK.try_acquire(&mut conn).unwrap().is_none());
        assert_eq!(LOCK.try_with(&mut conn, |_| QueryResult::Ok(())), Ok(None));
        assert_eq!(session(&mut conn), found);
    });
    assert_eq!(LOCK.acquire(&mut conn).unwrap().fencing_token(), Some(2));
}

#[test]
fn the_wait_ends_with_the_transaction() {
    let db = Database::with_fences();
    for autocommit in [true, false] {
        let mut conn = db.connect();
        conn.batch_execute(&format!("SET autocommit = {autocommit}")).unwrap();
        let (found, id) = (session(&mut conn), connection_id(&mut conn));
        thread::scope(|threads| {
            let mut waiting = None;
            with_open_transaction(&db, || {
                let conn = &mut conn;
                let wait = move || LOCK.without_timeout().acquire(conn).map(drop);
                waiting = Some(threads.spawn(wait));
                until_drawing(id);
            });
            waiting.unwrap().join().unwrap().unwrap();
        });
        assert_eq!(session(&mut conn), found);
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn a_wait_that_is_killed_releases_the_lock_and_restores_the_session() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.batch_execute("SET autocommit = 0").unwrap();
    let (found, id) = (session(&mut conn), connection_id(&mut conn));
    with_open_transaction(&db, || {
        thread::scope(|threads| {
            let conn = &mut conn;
            let waiting = threads.spawn(move || LOCK.acquire(conn).map(drop));
            until_drawing(id);
            // The server shows the statement a moment before it can be killed.
            let mut admin = Admin::new();
            until("the wait ends", || {
                if is_drawing(id, &mut admin) {
                    admin.kill_query(id);
                }
                waiting.is_finished()
            });
            let error = waiting.join().unwrap().unwrap_err();
            assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
        });
    });
    assert_eq!(session(&mut conn), found);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn the_row_of_one_lock_does_not_make_another_wait() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    with_open_transaction(&db, || {
        for name in ["another", "lock1", "loc"] {
            let token = Lock::new(name).fenced().try_acquire(&mut conn).unwrap().unwrap();
            assert_eq!(token.fencing_token(), Some(1));
        }
    });
}

#[test]
fn the_first_draw_of_a_name_waits_no_longer_than_the_timeout_either() {
    let db = Database::with_fences();
    let (mut conn, mut other) = (db.connect(), db.connect());
    conn.batch_execute("SET innodb_lock_wait_timeout = 1000").unwrap();
    let found = session(&mut conn);
    // The gap in which the row would be.
    other.batch_execute("BEGIN; UPDATE diesel_locks_fences SET checks = 0").unwrap();
    assert!(LOCK.try_acquire(&mut conn).unwrap().is_none());
    let error = LOCK.timeout(Duration::from_secs(1)).acquire(&mut conn).map(drop).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    assert_eq!(session(&mut conn), found);
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(LOCK.acquire(&mut conn).unwrap().fencing_token(), Some(1));
}

#[test]
fn a_table_that_is_locked_is_waited_for_too() {
    let db = Database::with_fences();
    let (mut conn, mut other) = (db.connect(), db.connect());
    LOCK.acquire(&mut conn).unwrap().release().unwrap();
    let found = session(&mut conn);
    other.batch_execute("LOCK TABLES diesel_locks_fences WRITE").unwrap();
    let error = LOCK.timeout(Duration::from_secs(1)).acquire(&mut conn).map(drop).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    other.batch_execute("UNLOCK TABLES").unwrap();
    assert_eq!(session(&mut conn), found);
    LOCK.acquire(&mut conn).unwrap().release().unwrap();
}
