//! The round trips of each call, counted on the wire.

use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::alone;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;

const LOCK: Lock = Lock::new("lock");
const FRACTION: Duration = Duration::from_millis(9_500);

/// Returns a connection on which each statement is already prepared, in the database that the
/// library saw last.
fn warm(db: &Database, proxy: &Proxy) -> MysqlConnection {
    let mut conn = db.connect_through(proxy);
    for lock in [LOCK, LOCK.server_wide(), LOCK.shortened()] {
        let mut guard = lock.acquire(&mut conn).unwrap();
        assert!(lock.is_held(&mut guard).unwrap());
        assert!(guard.is_still_held().unwrap());
        guard.leak();
        lock.release(&mut conn).unwrap();
        // A guard uses a different statement: it knows the full name, whatever the database is by
        // then.
        lock.acquire(&mut conn).unwrap().release().unwrap();
    }
    conn
}

alone! {
    fn a_free_lock_costs_one_round_trip_and_its_release_another() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        for lock in [LOCK, LOCK.without_timeout(), LOCK.timeout(Duration::from_secs(3))] {
            proxy.expect("acquire", 1, || {
                lock.acquire(conn).unwrap().leak();
            });
            proxy.expect("Lock::release", 1, || lock.release(conn).unwrap());
            proxy.expect("try_acquire", 1, || {
                lock.try_acquire(conn).unwrap().unwrap().leak();
            });
            proxy.expect("Lock::release", 1, || lock.release(conn).unwrap());
            proxy.expect("acquire_owned", 1, || {
                lock.acquire_owned(&mut *conn).unwrap().leak();
            });
            let guard = lock.acquire(conn).unwrap();
            proxy.expect("LockGuard::release", 1, || {
                guard.release().unwrap();
            });
            let guard = lock.acquire(conn).unwrap();
            proxy.expect("drop", 1, || drop(guard));
            lock.release(conn).unwrap();
        }
    }

    fn a_fractional_timeout_costs_two_round_trips() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let lock = LOCK.timeout(FRACTION);
        for _ in 0..2 {
            proxy.expect("acquire, fraction", 2, || {
                lock.acquire(conn).unwrap().leak();
            });
            proxy.expect("Lock::release", 1, || lock.release(conn).unwrap());
        }
        // A call that does not wait does not use the timeout.
        proxy.expect("try_acquire, fraction", 1, || {
            lock.try_acquire(conn).unwrap().unwrap().leak();
        });
        proxy.expect("LockGuard::release", 1, || LOCK.release(conn).unwrap());
    }

    fn server_wide_and_shortened_locks_cost_the_same() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let long = "n".repeat(200);
        Lock::new(&long).shortened().acquire(conn).unwrap().leak();
        Lock::new(&long).shortened().release(conn).unwrap();
        for lock in [LOCK.server_wide(), LOCK.shortened(), Lock::new(&long).shortened()] {
            proxy.expect("acquire", 1, || {
                lock.acquire(conn).unwrap().leak();
            });
            proxy.expect("release", 1, || lock.release(conn).unwrap());
        }
    }

    fn a_fenced_lock_costs_three_round_trips_more() {
        let (db, proxy) = (Database::with_fences(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let lock = LOCK.fenced();
        let body = |_: &mut MysqlConnection| Ok::<_, Error>(());
        lock.transaction(conn, body).unwrap();
        proxy.expect("acquire, fenced", 4, || {
            lock.acquire(conn).unwrap().leak();
        });
        proxy.expect("Lock::release", 1, || lock.release(conn).unwrap());
        proxy.expect("try_acquire, fenced", 4, || {
            lock.try_acquire(conn).unwrap().unwrap().leak();
        });
        lock.release(conn).unwrap();
        proxy.expect("transaction, fenced", 12, || lock.transaction(conn, body).unwrap());
        let mut guard = lock.acquire(conn).unwrap();
        proxy.expect("LockGuard::transaction, fenced", 7, || {
            guard.transaction(body).unwrap();
        });
    }

    fn a_query_costs_one_round_trip() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        proxy.expect("is_held", 1, || assert!(!LOCK.is_held(conn).unwrap()));
        proxy.expect("holding_connection_id", 1, || {
            assert!(LOCK.holding_connection_id(conn).unwrap().is_none());
        });
        let mut guard = LOCK.acquire(conn).unwrap();
        proxy.expect("is_held", 1, || assert!(LOCK.is_held(&mut guard).unwrap()));
        proxy.expect("is_still_held", 1, || assert!(guard.is_still_held().unwrap()));
    }

    fn a_closure_costs_as_much_as_acquire_and_release() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let body = |_: &mut MysqlConnection| Ok::<_, Error>(());
        proxy.expect("with", 2, || LOCK.with(conn, body).unwrap());
        proxy.expect("with, fraction", 3, || LOCK.timeout(FRACTION).with(conn, body).unwrap());
        proxy.expect("try_with", 2, || assert!(LOCK.try_with(conn, body).unwrap().is_some()));
        // Three for each batch: Diesel sets the character set for it, and back.
        LOCK.transaction(conn, body).unwrap();
        proxy.expect("transaction", 8, || LOCK.transaction(conn, body).unwrap());
        let failing = |_: &mut MysqlConnection| Err::<(), _>(Error::NoTables);
        proxy.expect("transaction, rolled back", 8, || {
            LOCK.transaction(conn, failing).unwrap_err();
        });
    }

    fn a_busy_lock_costs_one_more_round_trip_to_find_its_holder() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let mut holder = db.connect();
        let _held = LOCK.acquire(&mut holder).unwrap();
        proxy.expect("try_acquire, busy", 2, || assert!(LOCK.try_acquire(conn).unwrap().is_none()));
        proxy.expect("acquire, timed out", 2, || {
            LOCK.timeout(Duration::from_secs(1)).acquire(conn).map(drop).unwrap_err();
        });
        let body = |_: &mut MysqlConnection| Ok::<_, Error>(());
        proxy.expect("try_with, busy", 2, || assert!(LOCK.try_with(conn, body).unwrap().is_none()));
    }

    fn a_change_of_database_costs_a_query_for_its_name_and_an_acquire_that_is_not_cached() {
        let (db, other_db, proxy) = (Database::new(), Database::new(), Proxy::new());
        let conn = &mut warm(&db, &proxy);
        let mut other = other_db.connect();
        let mut see_another = || drop(LOCK.acquire(&mut other).unwrap());
        see_another();
        // One for each that is cached, and two to prepare and run the last.
        proxy.expect("acquire, wrong guess", 4, || {
                LOCK.acquire(conn).unwrap().leak();
            });
        proxy.expect("release, right guess", 1, || LOCK.release(conn).unwrap());
        see_another();
        proxy.expect("is_held, wrong guess", 4, || assert!(!LOCK.is_held(conn).unwrap()));

        // A guard knows its name.
        let mut guard = LOCK.acquire(conn).unwrap();
        guard.is_still_held().unwrap();
        see_another();
        proxy.expect("is_still_held after another database", 1, || {
            assert!(guard.is_still_held().unwrap());
        });
        proxy.expect("release after another database", 1, || {
                guard.release().unwrap();
            });
    }
}
