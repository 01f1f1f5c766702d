//! Sets whose connection or statement is lost.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock, LockSet};

use crate::support::cuts::{Call, cut_everywhere, in_body};
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks, is_mysql};
use crate::support::table_checks::log;
use crate::support::watchdog;

/// Returns whether all are free is checked by the first one.
fn set() -> LockSet {
    Lock::all(["lock", "lock-2", "lock-3"])
}

const CALLS: [(&str, Call); 6] = [
    ("acquire", |conn| set().acquire(conn)?.release().map(drop)),
    ("try_acquire", |conn| {
        set().try_acquire(conn)?.expect("no other holds it").release().map(drop)
    }),
    ("acquire of locks one by one", |conn| {
        // MySQL refuses this name, so it is not in a statement with others.
        let second = if is_mysql() { "lock-2" } else { "🔒" };
        Lock::all(["lock", second]).acquire(conn)?.release().map(drop)
    }),
    ("with", |conn| set().with(conn, |_| Ok(()))),
    ("transaction", |conn| {
        set().transaction(conn, |conn| {
            in_body(|| log(conn, "cut"))?;
            Ok(())
        })
    }),
    ("is_still_held", |conn| {
        let mut guard = set().acquire(conn)?;
        guard.is_still_held().map(|held| assert!(held))?;
        guard.release().map(drop)
    }),
];

#[test]
fn a_call_that_loses_its_connection_leaves_nothing_held() {
    watchdog(|| {
        for (what, call) in CALLS {
            cut_everywhere(what, call);
        }
    });
}

#[test]
fn a_killed_wait_is_interrupted_and_holds_nothing_but_what_was_held_before() {
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        Lock::new("lock").acquire(&mut conn).unwrap().leak();
        for set in [set(), set().timeout(Duration::from_millis(9_500)), set().without_timeout()] {
            let _held = Lock::new("lock-3").acquire(&mut holder).unwrap();
            thread::scope(|threads| {
                let waiting = threads.spawn(|| set.acquire(&mut conn).map(drop));
                admin.until_waiting(id);
                admin.kill_query(id);
                let killed = waiting.join().unwrap();
                assert!(matches!(killed, Err(Error::Interrupted { .. })), "{killed:?}");
            });
            assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
            assert_eq!(admin.holder(&db.full_name("lock-2")), None);
        }
        assert_eq!(count_and_release_locks(&mut conn), 1);
        set().acquire(&mut conn).unwrap().release().unwrap();
    });
}

#[test]
fn a_waiter_whose_connection_is_killed_leaves_all_locks_to_others() {
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        let held = Lock::new("lock-2").acquire(&mut holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| set().acquire(&mut conn).map(drop));
            admin.until_waiting(id);
            admin.kill_connection(id);
            let killed = waiting.join().unwrap();
            assert!(matches!(killed, Err(Error::ConnectionLost(_))), "{killed:?}");
        });
        assert!(conn.is_broken());
        admin.until_gone(id);
        held.release().unwrap();
        assert!(set().try_acquire(&mut db.connect()).unwrap().is_some());
    });
}

#[test]
fn a_holder_whose_connection_is_killed_gets_an_error() {
    let db = Database::new();
    let mut admin = Admin::new();
    let mut conn = db.connect();
    let id = connection_id(&mut conn);
    let mut guard = set().acquire(&mut conn).unwrap();
    admin.kill_connection(id);
    assert!(matches!(guard.is_still_held(), Err(Error::ConnectionLost(_))));
    assert!(matches!(guard.release().map(drop), Err(Error::ConnectionLost(_))));
    assert!(conn.is_broken());
    admin.until_gone(id);
    assert!(set().try_acquire(&mut db.connect()).unwrap().is_some());
}

#[test]
fn a_sessions_time_limit_for_statements_never_loses_a_lock() {
    let db = Database::new();
    let mut conn = db.connect();
    conn.batch_execute("SET sql_select_limit = 0").unwrap();
    // Milliseconds, and MySQL's alone.
    let _ = conn.batch_execute("SET max_execution_time = 1");
    for _ in 0..50 {
        let mut guard = set().acquire(&mut conn).unwrap();
        assert!(guard.is_still_held().unwrap());
        guard.release().unwrap();
    }
    conn.batch_execute("SET sql_select_limit = DEFAULT").unwrap();
    let _ = conn.batch_execute("SET max_execution_time = 0");
    assert_eq!(count_and_release_locks(&mut conn), 0);
}
