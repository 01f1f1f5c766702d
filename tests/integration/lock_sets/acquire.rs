//! Acquiring and releasing sets of locks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, LockSet};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::log;

fn abc() -> LockSet {
    Lock::all(["b", "a", "c"])
}

#[test]
fn a_guard_holds_all_locks_and_releases_all_of_them() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let mut holders = |db: &Database| ["a", "b", "c"].map(|name| admin.holder(&db.full_name(name)));
    for dropped in [false, true] {
        let mut guard = abc().acquire(&mut conn).unwrap();
        assert_eq!(holders(&db), [Some(id); 3]);
        assert!(guard.is_still_held().unwrap());
        // The guard dereferences to the connection.
        assert_eq!(connection_id(&mut guard), id);
        let debug = format!("{guard:?}");
        let names = ["a", "b", "c"].map(|name| db.full_name(name)).join(", ");
        assert!(debug.contains(&names), "{debug}");
        if dropped {
            drop(guard);
        } else {
            guard.release().unwrap();
        }
        assert_eq!(holders(&db), [None; 3]);
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn every_way_to_acquire_a_set_holds_all_of_it_once() {
    let db = Database::new();
    let pool = db.pool(1);
    let mut conn = pool.get().unwrap();
    abc().acquire(&mut conn).unwrap().leak();
    assert_eq!(count_and_release_locks(&mut conn), 3);
    abc().try_acquire(&mut conn).unwrap().unwrap().leak();
    assert_eq!(count_and_release_locks(&mut conn), 3);
    let mut conn = abc().acquire_owned(conn).unwrap().leak();
    assert_eq!(count_and_release_locks(&mut conn), 3);
    let mut conn = abc().try_acquire_owned(conn).unwrap().unwrap().leak();
    assert_eq!(count_and_release_locks(&mut conn), 3);
    let counted = |conn: &mut _| Ok::<_, Error>(count_and_release_locks(conn));
    // The body has released them, so they are not held at its end.
    let ended = abc().with(&mut *conn, counted);
    assert!(matches!(ended, Err(Error::NotHeld { committed: None, .. })), "{ended:?}");
    let ended = abc().try_with(&mut *conn, counted);
    assert!(matches!(ended, Err(Error::NotHeld { committed: None, .. })), "{ended:?}");
    let held = abc().with(&mut *conn, |conn| Lock::new("b").is_held(conn)).unwrap();
    assert!(held);
    assert_eq!(
        abc().try_with(&mut *conn, |conn| Lock::new("c").is_held(conn)).unwrap(),
        Some(true)
    );
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn an_owned_guard_releases_all_locks_before_the_connection_is_back_in_its_pool() {
    let db = Database::new();
    let (pool, mut admin) = (db.pool(1), Admin::new());
    for _ in 0..10 {
        let guard = abc().acquire_owned(pool.get().unwrap()).unwrap();
        assert!(admin.holder(&db.full_name("c")).is_some());
        let ending = std::thread::spawn(move || drop(guard));
        let mut conn = pool.get().unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
        drop(conn);
        ending.join().unwrap();
    }
}

#[test]
fn a_set_of_any_size_is_acquired_and_released() {
    let db = Database::new();
    let mut conn = db.connect();
    for count in [1_u64, 2, 7, 8, 9, 63, 64, 65, 128, 300] {
        let set = Lock::all((0..count).map(|number| format!("n{number}")));
        let mut guard = set.acquire(&mut conn).unwrap();
        assert!(guard.is_still_held().unwrap(), "{count}");
        guard.release().unwrap();
        set.acquire(&mut conn).unwrap().leak();
        assert_eq!(count_and_release_locks(&mut conn), count);
    }
}

#[test]
fn an_empty_set_is_an_error() {
    let db = Database::new();
    let mut conn = db.connect();
    let set = Lock::all::<[&str; 0]>([]);
    assert!(matches!(set.acquire(&mut conn).map(drop), Err(Error::NoNames)));
    assert!(matches!(set.try_acquire(&mut conn).map(drop), Err(Error::NoNames)));
    let with = set.with(&mut conn, |_| Ok::<_, Error>(()));
    assert!(matches!(with, Err(Error::NoNames)), "{with:?}");
    let error = Error::from(set.acquire_owned(conn).map(drop).unwrap_err());
    assert_eq!(error.to_string(), "a set of locks needs at least one name");
}

#[test]
fn a_set_is_re_entrant() {
    let db = Database::new();
    let mut conn = db.connect();
    let mut outer = Lock::new("b").acquire(&mut conn).unwrap();
    let mut inner = abc().acquire(&mut outer).unwrap();
    abc().acquire(&mut inner).unwrap().release().unwrap();
    assert!(inner.is_still_held().unwrap());
    inner.release().unwrap();
    assert!(outer.is_still_held().unwrap());
    assert!(!Lock::new("a").is_held(&mut outer).unwrap());
    outer.release().unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_set_that_has_lost_one_lock_is_not_held_and_its_release_releases_the_others() {
    let db = Database::new();
    let mut conn = db.connect();
    for lost in ["a", "b", "c"] {
        let mut guard = abc().acquire(&mut conn).unwrap();
        Lock::new(lost).release(&mut guard).unwrap();
        assert!(!guard.is_still_held().unwrap());
        match guard.release().map(drop) {
            Err(Error::NotHeld { lock, committed: None, .. }) => {
                assert!(lock.contains(&db.full_name(lost)), "{lock}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn a_panic_in_the_body_releases_all_locks() {
    let db = Database::new();
    let mut conn = db.connect();
    for transaction in [false, true] {
        let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("in the body") };
        catch_unwind(AssertUnwindSafe(|| {
            if transaction {
                abc().transaction(&mut conn, body)
            } else {
                abc().with(&mut conn, body)
            }
        }))
        .unwrap_err();
        assert_eq!(count_and_release_locks(&mut conn), 0);
        conn.batch_execute("SET TRANSACTION READ WRITE").unwrap();
    }
}

#[test]
fn a_transaction_is_committed_before_the_locks_are_released() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let rows = |conn: &mut MysqlConnection| audit_log::table.count().get_result::<i64>(conn);
    abc()
        .transaction(&mut conn, |conn| {
            log(conn, "inside")?;
            assert!(abc().try_acquire(&mut other)?.is_none());
            Ok::<_, Error>(())
        })
        .unwrap();
    assert_eq!(rows(&mut other).unwrap(), 1);
    assert!(abc().try_acquire(&mut other).unwrap().is_some());

    let failed = abc().transaction(&mut conn, |conn| {
        log(conn, "rolled back")?;
        Err::<(), _>(Error::NoTables)
    });
    assert!(matches!(failed, Err(Error::NoTables)));
    assert_eq!(rows(&mut other).unwrap(), 1);

    conn.batch_execute("BEGIN").unwrap();
    let refused = abc().transaction(&mut conn, |_| Ok::<_, Error>(()));
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);

    let mut guard = abc().acquire(&mut conn).unwrap();
    guard.transaction(|conn| log(conn, "under a guard")).unwrap();
    assert!(guard.is_still_held().unwrap());
    assert_eq!(rows(&mut other).unwrap(), 2);
}
