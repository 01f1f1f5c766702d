//! `USE` before, inside and after a lock, and pools of several databases.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, TableLock};

use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::log;
use crate::support::{alone, watchdog};

const LOCK: Lock = Lock::new("lock");

/// Acquires a free lock, in every way.
#[track_caller]
fn expect_free(what: &str, lock: Lock<'_>, conn: &mut MysqlConnection) {
    let taken = lock.try_acquire(conn).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    assert!(taken.is_some(), "{what}: busy");
    drop(taken);
    let now = lock.timeout(Duration::ZERO).acquire(conn).map(drop);
    assert!(now.is_ok(), "{what}: {now:?}");
    let soon = lock.timeout(Duration::from_millis(5)).acquire(conn).map(drop);
    assert!(soon.is_ok(), "{what}: {soon:?}");
    let run = lock.try_with(conn, |_| Ok::<_, Error>(())).unwrap();
    assert!(run.is_some(), "{what}: busy");
    assert!(!lock.is_held(conn).unwrap(), "{what}");
    assert_eq!(count_and_release_locks(conn), 0, "{what}");
}

type Query = fn(&mut MysqlConnection);

/// Each fails without a database, and prepares something.
const QUERIES: [Query; 7] = [
    |conn| assert!(matches!(LOCK.is_held(conn), Err(Error::NoDatabase))),
    |conn| assert!(matches!(LOCK.acquire(conn).map(drop), Err(Error::NoDatabase))),
    |conn| assert!(matches!(LOCK.try_acquire(conn).map(drop), Err(Error::NoDatabase))),
    |conn| {
        let soon = LOCK.timeout(Duration::from_millis(5)).acquire(conn).map(drop);
        assert!(matches!(soon, Err(Error::NoDatabase)), "{soon:?}");
    },
    |conn| assert!(matches!(LOCK.release(conn), Err(Error::NoDatabase))),
    |conn| assert!(matches!(LOCK.holder(conn), Err(Error::NoDatabase))),
    |conn| {
        let locked = TableLock::new().write_table("places").acquire(conn).map(drop);
        assert!(matches!(locked, Err(Error::NoDatabase)), "{locked:?}");
    },
];

/// Expects that a connection takes this database's locks, and no others.
#[track_caller]
fn expect_locks_of(db: &Database, what: &str, conn: &mut MysqlConnection) {
    let (mut admin, mut other) = (Admin::new(), db.connect());
    let id = connection_id(conn);
    for lock in [LOCK, LOCK.shortened()] {
        expect_free(what, lock, conn);
        let mut guard = lock.acquire(conn).unwrap();
        assert_eq!(admin.holder(&db.full_name("lock")), Some(id), "{what}");
        assert!(guard.is_still_held().unwrap(), "{what}");
        assert_eq!(lock.holding_connection_id(&mut guard).unwrap(), Some(id), "{what}");
        assert!(lock.try_acquire(&mut other).unwrap().is_none(), "{what}");
        guard.release().unwrap();
        assert_eq!(admin.holder(&db.full_name("lock")), None, "{what}");
        lock.acquire(conn).unwrap().leak();
        lock.release(conn).unwrap();
        let held = lock.acquire(&mut other).unwrap();
        assert!(lock.try_acquire(conn).unwrap().is_none(), "{what}");
        assert!(lock.is_held(conn).unwrap(), "{what}");
        held.release().unwrap();
    }
}

fn ask_without_a_database_and_then_use_one() {
    for first in 0..QUERIES.len() {
        for second in 0..QUERIES.len() {
            let db = Database::with_tables();
            let mut conn = server::connect();
            for query in [first, second] {
                QUERIES[query](&mut conn);
            }
            db.enter(&mut conn);
            expect_locks_of(&db, &format!("after queries {first} and {second}"), &mut conn);
            TableLock::new()
                .write_table("audit_log")
                .with(&mut conn, |conn| log(conn, "row"))
                .unwrap();
        }
    }
}

#[test]
fn a_connection_that_asked_without_a_database_takes_the_locks_of_the_one_it_uses() {
    watchdog(ask_without_a_database_and_then_use_one);
}

alone! {
    fn the_first_connection_of_a_program_may_ask_without_a_database() {
        watchdog(ask_without_a_database_and_then_use_one);
    }

    fn two_pools_with_two_databases_in_turn_take_their_own_locks() {
        watchdog(|| {
            let (first, second) = (Database::new(), Database::new());
            let pools = [(&first, first.pool(2)), (&second, second.pool(2))];
            for round in 0..20 {
                for (db, pool) in &pools {
                    let mut conn = pool.get().unwrap();
                    expect_locks_of(db, &format!("round {round}"), &mut conn);
                }
            }
            // Held in one of them, it is free in the other.
            let mut holder = pools[0].1.get().unwrap();
            let held = LOCK.acquire(&mut *holder).unwrap();
            for _ in 0..5 {
                expect_free("the other database", LOCK, &mut pools[1].1.get().unwrap());
                assert!(LOCK.try_acquire(&mut *pools[0].1.get().unwrap()).unwrap().is_none());
            }
            held.release().unwrap();
        });
    }

    fn threads_on_two_pools_are_never_told_that_a_free_lock_is_busy() {
        watchdog(|| {
            let (first, second) = (Database::new(), Database::new());
            thread::scope(|threads| {
                for db in [&first, &second] {
                    let pool = db.pool(3);
                    for worker in 0..3 {
                        let pool = pool.clone();
                        threads.spawn(move || {
                            let name = format!("lock-{worker}");
                            for _ in 0..60 {
                                expect_free("own", Lock::new(&name), &mut pool.get().unwrap());
                            }
                        });
                    }
                }
            });
        });
    }
}

#[test]
fn use_outside_of_a_lock_never_makes_a_free_lock_busy() {
    watchdog(|| {
        let (first, second) = (Database::new(), Database::new());
        let mut conn = first.connect();
        for round in 0..6 {
            for db in [&second, &first] {
                db.enter(&mut conn);
                let what = format!("round {round}");
                expect_free(&what, LOCK, &mut conn);
                expect_free(&what, Lock::new("other"), &mut conn);
                expect_free(&what, LOCK.in_database(db.name()), &mut conn);
                // Named, the database is always the right one.
                let named = LOCK.in_database(db.name());
                let guard = named.acquire(&mut conn).unwrap();
                assert!(Admin::new().holder(&db.full_name("lock")).is_some(), "{what}");
                guard.release().unwrap();
            }
        }
    });
}

#[test]
fn use_under_a_lock_changes_nothing_of_what_is_held() {
    watchdog(|| {
        let (first, second) = (Database::with_tables(), Database::with_tables());
        let mut admin = Admin::new();
        for cached in [false, true] {
            let mut conn = first.connect();
            if cached {
                expect_free("before", LOCK, &mut conn);
            }
            let id = connection_id(&mut conn);
            let mut guard = LOCK.acquire(&mut conn).unwrap();
            second.enter(&mut guard);
            assert!(guard.is_still_held().unwrap());
            let there = LOCK.in_database(second.name());
            assert!(!there.is_held(&mut guard).unwrap());
            there.acquire(&mut guard).unwrap().release().unwrap();
            assert_eq!(admin.holder(&first.full_name("lock")), Some(id));
            guard.release().unwrap();
            assert_eq!(admin.holder(&first.full_name("lock")), None);
        }
        let mut conn = first.connect();
        LOCK.transaction(&mut conn, |conn| {
            second.enter(conn);
            log(conn, "in the second")
        })
        .unwrap();
        assert_eq!(admin.holder(&first.full_name("lock")), None);
        first.enter(&mut conn);
        TableLock::new()
            .write_table((first.name(), "audit_log"))
            .with(&mut conn, |conn| {
                second.enter(conn);
                conn.batch_execute(&format!(
                    "INSERT INTO {}.audit_log (message) VALUES ('in the first')",
                    first.name()
                ))
            })
            .unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
    });
}
