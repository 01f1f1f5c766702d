//! Sets that several connections want at the same time.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_locks::{Error, Lock, LockSet};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks, is_mysql};
use crate::support::{lasts_as_long_as, watchdog};

fn abc() -> LockSet {
    Lock::all(["a", "b", "c"])
}

#[test]
fn a_set_waits_for_each_of_its_locks() {
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut conn, mut admin) = (db.connect(), db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        for busy in ["a", "b", "c"] {
            for set in [
                abc(),
                abc().without_timeout(),
                abc().timeout(Duration::from_millis(9_500)),
                abc().in_database(db.name()),
            ] {
                let held = Lock::new(busy).acquire(&mut holder).unwrap();
                assert!(set.try_acquire(&mut conn).unwrap().is_none());
                assert_eq!(count_and_release_locks(&mut conn), 0);
                thread::scope(|threads| {
                    let waiting = threads.spawn(|| {
                        set.acquire(&mut conn).unwrap().leak();
                    });
                    admin.until_waiting(id);
                    held.release().unwrap();
                    waiting.join().unwrap();
                });
                assert_eq!(count_and_release_locks(&mut conn), 3);
            }
        }
    });
}

#[test]
fn a_set_that_times_out_holds_nothing_and_names_the_busy_lock_and_its_holder() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let holder_id = connection_id(&mut holder);
    for busy in ["a", "b", "c"] {
        let held = Lock::new(busy).acquire(&mut holder).unwrap();
        for timeout in [Duration::ZERO, Duration::from_millis(30)] {
            match abc().timeout(timeout).acquire(&mut conn).map(drop) {
                Err(Error::Timeout { lock, timeout: after, holder, .. }) => {
                    assert_eq!(lock, db.full_name(busy));
                    assert_eq!((after, holder), (timeout, Some(holder_id)));
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(count_and_release_locks(&mut conn), 0);
        }
        held.release().unwrap();
    }
}

#[test]
fn a_set_that_times_out_keeps_what_the_connection_held_before() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let _held = Lock::new("c").acquire(&mut holder).unwrap();
    abc().timeout(Duration::from_millis(1)).acquire(&mut conn).map(drop).unwrap_err();
    let mut kept = Lock::all(["a", "b"]).acquire(&mut conn).unwrap();
    for _ in 0..3 {
        abc().timeout(Duration::from_millis(1)).acquire(&mut kept).map(drop).unwrap_err();
        assert!(abc().try_acquire(&mut kept).unwrap().is_none());
        assert!(kept.is_still_held().unwrap());
    }
    kept.release().unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn the_timeout_is_for_all_locks_together() {
    let db = Database::new();
    let (mut holder, mut conn) = (db.connect(), db.connect());
    let timeout = Duration::from_millis(300);
    let _held = Lock::all(["b", "d"]).acquire(&mut holder).unwrap();
    let set = Lock::all(["a", "b", "c", "d"]).timeout(timeout);
    lasts_as_long_as(timeout, || {
        let error = set.acquire(&mut conn).map(drop).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    });
}

/// The first lock becomes free in time, and the second one never does.
#[test]
fn waiting_for_the_first_lock_counts_for_the_others() {
    let db = Database::new();
    let (mut one, mut two, mut conn) = (db.connect(), db.connect(), db.connect());
    let (id, mut admin) = (connection_id(&mut conn), Admin::new());
    let timeout = Duration::from_millis(1_500);
    let first = Lock::new("a").acquire(&mut one).unwrap();
    let _second = Lock::new("b").acquire(&mut two).unwrap();
    let started = Instant::now();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            let set = Lock::all(["a", "b"]).timeout(timeout);
            let result = set.acquire(&mut conn).map(drop);
            (result, started.elapsed())
        });
        admin.until_waiting(id);
        first.release().unwrap();
        let (result, took) = waiting.join().unwrap();
        match result {
            Err(Error::Timeout { lock, .. }) => assert_eq!(lock, db.full_name("b")),
            other => panic!("{other:?}"),
        }
        assert!(took >= timeout, "{took:?}");
    });
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

/// Every connection names the locks in another order, and in another case where that is the same
/// lock.
#[test]
fn connections_that_need_the_same_locks_in_any_order_never_deadlock() {
    const CONNECTIONS: u32 = 6;
    const ROUNDS: u32 = 60;
    watchdog(|| {
        let db = Database::new();
        let inside = ["x", "y", "z"].map(|_| AtomicBool::new(false));
        let done = AtomicU32::new(0);
        thread::scope(|threads| {
            for number in 0..CONNECTIONS {
                let (db, inside, done) = (&db, &inside, &done);
                threads.spawn(move || {
                    let mut conn = db.connect();
                    for round in 0..ROUNDS {
                        let (first, second) = match (number + round) % 6 {
                            0 => (0, 1),
                            1 => (1, 0),
                            2 => (1, 2),
                            3 => (2, 1),
                            4 => (2, 0),
                            _ => (0, 2),
                        };
                        let spell = |index: usize| {
                            let name = ["x", "y", "z"][index];
                            let is_upper = is_mysql() && (number + round) % 2 == 0;
                            if is_upper { name.to_uppercase() } else { name.to_owned() }
                        };
                        let set = Lock::all([spell(first), spell(second)]).without_timeout();
                        set.with(&mut conn, |_| {
                            for lock in [first, second] {
                                assert!(!inside[lock].swap(true, Ordering::SeqCst));
                            }
                            thread::yield_now();
                            for lock in [first, second] {
                                assert!(inside[lock].swap(false, Ordering::SeqCst));
                            }
                            done.fetch_add(1, Ordering::SeqCst);
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                    }
                    assert_eq!(count_and_release_locks(&mut conn), 0);
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), CONNECTIONS * ROUNDS);
    });
}

#[test]
fn a_deadlock_with_other_locks_fails_one_call_which_keeps_what_it_held_before() {
    fn wait(set: &LockSet, conn: &mut MysqlConnection) -> bool {
        let deadlocked = match set.acquire(conn).map(drop) {
            Ok(()) => false,
            Err(Error::Deadlock { .. }) => true,
            Err(error) => panic!("{error:?}"),
        };
        // Only the lock from before.
        assert_eq!(count_and_release_locks(conn), 1);
        deadlocked
    }
    watchdog(|| {
        let db = Database::new();
        let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
        let first_id = connection_id(&mut first);
        let (to_second, to_first) = (Lock::all(["m", "z"]), Lock::all(["a", "n"]));
        for _ in 0..5 {
            Lock::new("a").acquire(&mut first).unwrap().leak();
            Lock::new("z").acquire(&mut second).unwrap().leak();
            let (one, other) = thread::scope(|threads| {
                let waiting = threads.spawn(|| wait(&to_second, &mut first));
                admin.until_waiting(first_id);
                let other = wait(&to_first, &mut second);
                (waiting.join().unwrap(), other)
            });
            assert!(one != other, "both or neither: {one}");
        }
    });
}

/// The client guesses the database, and another thread may change the guess at any moment.
#[test]
fn threads_in_many_databases_acquire_all_locks_of_a_set_in_their_own() {
    watchdog(|| {
        let databases: Vec<_> = (0..4).map(|_| Database::new()).collect();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        thread::scope(|threads| {
            for db in &databases {
                threads.spawn(|| {
                    let mut conn = db.connect();
                    let full_names = names.map(|name| db.full_name(name));
                    let holds = |name| format!("IS_USED_LOCK('{name}') = CONNECTION_ID()");
                    let holds_all = full_names.map(holds).join(" AND ");
                    for _ in 0..1_500 {
                        let mut guard = Lock::all(names).try_acquire(&mut conn).unwrap().unwrap();
                        let held = diesel::select(sql::<Bool>(&holds_all)).get_result(&mut *guard);
                        assert_eq!(held, Ok(true), "a lock of another database was acquired");
                        guard.release().unwrap();
                    }
                });
            }
        });
    });
}
