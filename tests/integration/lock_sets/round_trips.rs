//! The round trips of sets, counted on the wire.

use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Error, Lock, LockSet};

use crate::support::alone;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;

fn set_of(count: usize) -> LockSet {
    Lock::all((0..count).map(|number| format!("n{number}")))
}

/// Returns a connection on which the statements for sets of these sizes are prepared, and those for
/// single locks.
fn warm(db: &Database, proxy: &Proxy, sizes: &[usize]) -> MysqlConnection {
    let mut conn = db.connect_through(proxy);
    for &size in sizes {
        for set in [set_of(size), set_of(size).in_database(db.name())] {
            let mut guard = set.acquire(&mut conn).unwrap();
            assert!(guard.is_still_held().unwrap());
            guard.release().unwrap();
        }
    }
    let mut holder = db.connect();
    for lock in [Lock::new("n0"), Lock::new("n0").in_database(db.name())] {
        lock.acquire(&mut conn).unwrap().release().unwrap();
        let _held = lock.acquire(&mut holder).unwrap();
        assert!(lock.try_acquire(&mut conn).unwrap().is_none());
    }
    conn
}

alone! {
    fn a_free_set_costs_one_round_trip_and_its_release_another() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy, &[2, 3, 8]);
        for size in [2, 3, 8] {
            for set in [
                set_of(size),
                set_of(size).timeout(Duration::from_millis(9_500)),
                set_of(size).without_timeout(),
                set_of(size).in_database(db.name()),
            ] {
                proxy.expect("acquire", 1, || {
                    set.acquire(conn).unwrap().leak();
                });
                let mut guard = set.acquire(conn).unwrap();
                proxy.expect("is_still_held", 1, || assert!(guard.is_still_held().unwrap()));
                proxy.expect("LockGuard::release", 1, || {
                    guard.release().unwrap();
                });
                Lock::release_all(conn).unwrap();
                let guard = set.try_acquire(conn).unwrap().unwrap();
                proxy.expect("drop", 1, || drop(guard));
                proxy.expect("try_acquire", 1, || {
                    set.try_acquire(conn).unwrap().unwrap().leak();
                });
                Lock::release_all(conn).unwrap();
                let body = |_: &mut MysqlConnection| Ok::<_, Error>(());
                proxy.expect("with", 2, || set.with(conn, body).unwrap());
                proxy.expect("try_with", 2, || assert!(set.try_with(conn, body).unwrap().is_some()));
                set.transaction(conn, body).unwrap();
                proxy.expect("transaction", 8, || set.transaction(conn, body).unwrap());
            }
        }
    }

    fn a_set_of_one_costs_as_much_as_its_lock() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy, &[1]);
        let body = |_: &mut MysqlConnection| Ok::<_, Error>(());
        proxy.expect("with", 2, || set_of(1).with(conn, body).unwrap());
    }

    fn larger_sets_are_not_cached() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy, &[2, 9, 64]);
        for size in [9, 64] {
            for _ in 0..2 {
                let mut guard = None;
                proxy.expect("acquire", 2, || guard = Some(set_of(size).acquire(conn).unwrap()));
                proxy.expect("release", 2, || {
                    guard.take().unwrap().release().unwrap();
                });
            }
        }
    }

    fn a_busy_set_costs_a_few_more() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy, &[2, 3, 4, 7, 8]);
        let mut holder = db.connect();
        // For each half: one that is not free as a whole, or is acquired. At the end one to find
        // the holder, and one to release what was acquired.
        for (size, busy, round_trips) in [(2, "n0", 3), (2, "n1", 5), (8, "n0", 3), (8, "n7", 11)] {
            let _held = Lock::new(busy).acquire(&mut holder).unwrap();
            let what = format!("try_acquire of {size}, {busy} is busy");
            proxy.expect(&what, round_trips, || {
                assert!(set_of(size).try_acquire(conn).unwrap().is_none());
            });
        }
    }
}
