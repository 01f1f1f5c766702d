//! `KILL QUERY` at any moment: an acquire that fails holds nothing, and one that succeeds holds the
//! lock exactly once.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::storm::Storm;
use crate::support::{keep, storms, watchdog};

const LOCK: Lock = Lock::new("lock");

fn tries(most: u32) -> impl Iterator<Item = u32> {
    storms::tries(most, Duration::from_secs(5))
}

/// Expects one of the errors that a kill may cause. A kill may also hit the query by which the
/// library finds out what happened, and too many of them close the connection, but no error may be
/// wrong.
#[track_caller]
fn expect_killed(error: &Error, conn: &mut MysqlConnection) {
    match error {
        Error::Interrupted { .. } | Error::Diesel(DieselError::DatabaseError(..)) => {}
        Error::ConnectionLost(_) => assert!(conn.is_broken(), "{error:?}"),
        error => panic!("{error:?}"),
    }
}

fn acquire_in_a_storm(lock: Lock<'static>, most: u32) {
    watchdog(move || {
        let db = Database::with_fences();
        let mut conn = db.connect();
        let (mut acquired, mut killed) = (0, 0);
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(most) {
                let held = match lock.acquire(&mut conn).map(keep) {
                    Ok(()) => 1,
                    Err(error) => {
                        expect_killed(&error, &mut conn);
                        0
                    }
                };
                if storm.replace_if_broken(&mut conn, &db) {
                    assert_eq!(held, 0, "try {n}");
                    continue;
                }
                if held == 1 {
                    acquired += 1;
                } else {
                    killed += 1;
                }
                let count = storm.calm(&mut conn, count_and_release_locks);
                assert_eq!(count, held, "try {n} of {lock:?}");
            }
        });
        println!("{lock:?}: {acquired} acquired, {killed} killed");
    });
}

#[test]
fn a_killed_acquire_holds_the_lock_once_or_not_at_all() {
    acquire_in_a_storm(LOCK, 500);
}

#[test]
fn a_killed_acquire_with_a_fractional_timeout_holds_the_lock_once_or_not_at_all() {
    acquire_in_a_storm(LOCK.timeout(Duration::from_millis(9_500)), 300);
}

#[test]
fn a_lock_granted_while_the_wait_is_killed_is_not_left_held() {
    const TRIES: u32 = 300;
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn) = (db.connect(), db.connect());
        let (mut admin, mut killer) = (Admin::new(), Admin::new());
        let id = connection_id(&mut conn);
        let (mut acquired, mut interrupted) = (0, 0);
        for n in tries(TRIES) {
            let lock = if n % 2 == 0 { LOCK } else { LOCK.timeout(Duration::from_millis(9_500)) };
            let held = LOCK.acquire(&mut holder).unwrap();
            let both = Barrier::new(2);
            let result = thread::scope(|threads| {
                let waiting = threads.spawn(|| lock.acquire(&mut conn).map(keep));
                admin.until_waiting(id);
                threads.spawn(|| {
                    both.wait();
                    for _ in 0..(n % 50) * 200 {
                        spin_loop();
                    }
                    killer.kill_query(id);
                });
                both.wait();
                drop(held);
                waiting.join().unwrap()
            });
            let count = count_and_release_locks(&mut conn);
            match result {
                Ok(()) => {
                    acquired += 1;
                    assert_eq!(count, 1, "try {n}");
                }
                Err(error) => {
                    interrupted += 1;
                    assert!(matches!(error, Error::Interrupted { .. }), "try {n}: {error:?}");
                    assert_eq!(count, 0, "try {n}");
                }
            }
        }
        println!("{acquired} acquired, {interrupted} interrupted");
    });
}

/// The server does not report how often a lock is held. After a kill at that moment the library
/// releases the lock once, so that nothing is left held, and the outer level may have lost its
/// lock.
#[test]
fn a_killed_inner_acquire_adds_no_level() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        let mut killed = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(400) {
                storm.calm(&mut conn, |conn| keep(LOCK.acquire(conn).unwrap()));
                let inner = LOCK.acquire(&mut conn).map(keep);
                if storm.replace_if_broken(&mut conn, &db) {
                    continue;
                }
                let count = storm.calm(&mut conn, count_and_release_locks);
                let right = if inner.is_ok() { count == 2 } else { count <= 1 };
                assert!(right, "try {n}: {inner:?}, then held {count} times");
                killed += u32::from(inner.is_err());
            }
        });
        println!("{killed} killed");
    });
}

#[test]
fn a_killed_release_still_releases_the_lock() {
    watchdog(|| {
        let db = Database::new();
        let (mut conn, mut admin) = (db.connect(), Admin::new());
        let full_name = db.full_name("lock");
        let mut killed = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(400) {
                let released = match LOCK.acquire(&mut conn) {
                    Ok(guard) => guard.release().map(drop),
                    Err(_) => Ok(()),
                };
                if let Err(error) = &released {
                    // The lock was held, so `NotHeld` would be wrong.
                    expect_killed(error, &mut conn);
                    killed += 1;
                }
                if storm.replace_if_broken(&mut conn, &db) {
                    continue;
                }
                assert_eq!(admin.holder(&full_name), None, "try {n}: {released:?}");
                assert!(storm.calm(&mut conn, Lock::release_all).is_ok());
            }
        });
        println!("{killed} killed");
    });
}

/// The library still assumes that the connection is in the database that it saw last.
#[test]
fn killing_a_call_never_releases_a_lock_of_another_database() {
    watchdog(|| {
        let (db, other_db) = (Database::new(), Database::new());
        let (mut conn, mut other, mut admin) = (db.connect(), other_db.connect(), Admin::new());
        let kept = other_db.full_name("lock");
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(300) {
                storm.calm(&mut conn, |conn| {
                    keep(Lock::new(&kept).server_wide().acquire(conn).unwrap());
                });
                LOCK.try_acquire(&mut other).unwrap();
                let _ = if n % 2 == 0 {
                    LOCK.acquire(&mut conn).map(drop)
                } else {
                    LOCK.release(&mut conn)
                };
                if storm.replace_if_broken(&mut conn, &db) {
                    continue;
                }
                assert_eq!(admin.holder(&kept), Some(storm.target()), "try {n}");
                storm.calm(&mut conn, count_and_release_locks);
            }
        });
    });
}

#[test]
fn a_killed_query_returns_no_wrong_answer_and_can_be_repeated() {
    const HELD: Lock = Lock::new("held");
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn) = (db.connect(), db.connect());
        let _held = HELD.acquire(&mut holder).unwrap();
        let mut killed = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(5_000) {
                for (lock, expected) in [(HELD, true), (LOCK, false)] {
                    match lock.is_held(&mut conn) {
                        Ok(held) => assert_eq!(held, expected, "try {n}"),
                        Err(error) => {
                            killed += 1;
                            expect_killed(&error, &mut conn);
                        }
                    }
                    if storm.replace_if_broken(&mut conn, &db) {
                        continue;
                    }
                    if n % 10 == 0 {
                        let held = storm.calm(&mut conn, |conn| lock.is_held(conn));
                        assert_eq!(held.unwrap(), expected, "try {n}");
                    }
                }
            }
        });
        println!("{killed} killed");
    });
}

#[test]
fn a_guard_under_repeated_kills_never_reports_a_held_lock_as_lost() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        let mut killed = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(5_000) {
                let held = match LOCK.acquire(&mut conn) {
                    Ok(mut guard) => guard.is_still_held(),
                    Err(_) => Ok(true),
                };
                match held {
                    Ok(held) => assert!(held, "try {n}"),
                    Err(error) => {
                        killed += 1;
                        expect_killed(&error, &mut conn);
                    }
                }
                storm.replace_if_broken(&mut conn, &db);
            }
        });
        println!("{killed} killed");
    });
}

type Call = fn(
    &Lock<'_>,
    &mut MysqlConnection,
    fn(&mut MysqlConnection) -> Result<(), Error>,
) -> Result<(), Error>;

fn run_in_a_storm(lock: Lock<'static>, call: Call) {
    watchdog(move || {
        let db = Database::with_fences();
        let (mut conn, mut admin) = (db.connect(), Admin::new());
        let full_name = db.full_name("lock");
        let mut succeeded = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(300) {
                let result = call(&lock, &mut conn, |conn| {
                    diesel::insert_into(audit_log::table)
                        .values(audit_log::message.eq("killed"))
                        .execute(conn)?;
                    Ok(())
                });
                match &result {
                    Ok(()) => succeeded += 1,
                    Err(error) => expect_killed(error, &mut conn),
                }
                if storm.replace_if_broken(&mut conn, &db) {
                    continue;
                }
                assert_eq!(admin.holder(&full_name), None, "try {n}: {result:?}");
                storm.calm(&mut conn, |conn| {
                    // The server refuses this inside any open transaction.
                    conn.batch_execute("SET TRANSACTION READ WRITE").unwrap();
                    conn.transaction(|_| Ok::<_, Error>(())).unwrap();
                });
            }
        });
        let rows: i64 = audit_log::table.count().get_result(&mut conn).unwrap();
        println!("{succeeded} succeeded, {rows} rows");
        assert!(rows >= succeeded);
    });
}

#[test]
fn a_body_under_repeated_kills_leaves_no_lock() {
    run_in_a_storm(LOCK, |lock, conn, body| lock.with(conn, body));
}

#[test]
fn a_transaction_under_repeated_kills_leaves_no_lock_and_no_transaction() {
    run_in_a_storm(LOCK, |lock, conn, body| lock.transaction(conn, body));
}

#[test]
fn a_fenced_transaction_under_repeated_kills_leaves_nothing_and_is_not_superseded() {
    run_in_a_storm(LOCK.fenced(), |lock, conn, body| lock.transaction(conn, body));
}
