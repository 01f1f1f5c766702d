//! `KILL QUERY` at any moment: a set is held as a whole or not at all.

use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, LockSet};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::storm::Storm;
use crate::support::{keep, storms, watchdog};

fn set() -> LockSet {
    Lock::all(["lock", "lock-2", "lock-3"])
}

fn tries(most: u32) -> impl Iterator<Item = u32> {
    storms::tries(most, Duration::from_secs(5))
}

#[track_caller]
fn expect_killed(error: &Error, conn: &mut MysqlConnection) {
    match error {
        Error::Interrupted { .. } | Error::Diesel(DieselError::DatabaseError(..)) => {}
        Error::ConnectionLost(_) => assert!(conn.is_broken(), "{error:?}"),
        error => panic!("{error:?}"),
    }
}

/// `busy` is held by another connection in every second try, so that the acquire is killed in the
/// middle, too.
fn acquire_in_a_storm(set: LockSet, busy: Option<&'static str>) {
    watchdog(move || {
        let db = Database::new();
        let (mut conn, mut holder) = (db.connect(), db.connect());
        let (mut acquired, mut killed, mut refused) = (0, 0, 0);
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(400) {
                let held = busy
                    .filter(|_| n % 2 == 0)
                    .map(|busy| Lock::new(busy).without_timeout().acquire(&mut holder).unwrap());
                let guard = if held.is_some() {
                    set.try_acquire(&mut conn)
                } else {
                    set.acquire(&mut conn).map(Some)
                };
                let result = guard.map(|guard| guard.map(keep));
                let held_now = match &result {
                    Ok(Some(())) => {
                        acquired += 1;
                        3
                    }
                    Ok(None) => {
                        refused += 1;
                        0
                    }
                    Err(error) => {
                        killed += 1;
                        expect_killed(error, &mut conn);
                        0
                    }
                };
                drop(held);
                if storm.replace_if_broken(&mut conn, &db) {
                    assert_eq!(held_now, 0, "try {n}");
                    let mut admin = Admin::new();
                    admin.until_free(&db.full_name("lock-2"));
                    admin.until_free(&db.full_name("lock-3"));
                    continue;
                }
                let count = storm.calm(&mut conn, count_and_release_locks);
                assert_eq!(count, held_now, "try {n}: {result:?}");
            }
        });
        println!("{busy:?}: {acquired} acquired, {killed} killed, {refused} refused");
    });
}

#[test]
fn a_killed_acquire_holds_the_whole_set_or_nothing() {
    acquire_in_a_storm(set(), None);
}

#[test]
fn an_acquire_that_is_killed_where_a_lock_is_busy_holds_nothing() {
    acquire_in_a_storm(set(), Some("lock-3"));
}

#[test]
fn a_killed_acquire_with_a_fractional_timeout_holds_the_whole_set_or_nothing() {
    acquire_in_a_storm(set().timeout(Duration::from_millis(9_500)), Some("lock-2"));
}

#[test]
fn a_killed_acquire_keeps_a_lock_that_was_held_before() {
    watchdog(|| {
        let db = Database::new();
        let (mut conn, mut holder, mut admin) = (db.connect(), db.connect(), Admin::new());
        let kept = db.full_name("lock-2");
        let _busy = Lock::new("lock").acquire(&mut holder).unwrap();
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(300) {
                storm.calm(&mut conn, |conn| {
                    Lock::new("lock-2").acquire(conn).unwrap().leak();
                });
                let result = set().try_acquire(&mut conn).map(|guard| assert!(guard.is_none()));
                if conn.is_broken() {
                    admin.until_free(&kept);
                    conn = db.connect();
                    storm.set_target(connection_id(&mut conn));
                    continue;
                }
                assert_eq!(admin.holder(&kept), Some(storm.target()), "try {n}: {result:?}");
                assert_eq!(
                    storm.calm(&mut conn, count_and_release_locks),
                    1,
                    "try {n}: {result:?}"
                );
            }
        });
    });
}

#[test]
fn a_killed_release_still_releases_all_locks() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        let mut killed = 0;
        Storm::during(connection_id(&mut conn), |storm| {
            for n in tries(400) {
                let released = match set().acquire(&mut conn) {
                    Ok(guard) => guard.release().map(drop),
                    Err(_) => Ok(()),
                };
                if let Err(error) = &released {
                    // The locks were held, so `NotHeld` would be wrong.
                    expect_killed(error, &mut conn);
                    killed += 1;
                }
                if storm.replace_if_broken(&mut conn, &db) {
                    continue;
                }
                let count = storm.calm(&mut conn, count_and_release_locks);
                assert_eq!(count, 0, "try {n}: {released:?}");
            }
        });
        println!("{killed} killed");
    });
}
