//! Guards of table locks that own a connection, and connection pools.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use diesel_locks::{Error, TableLock, TableLockGuard};

use crate::support::proxy::Proxy;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::{
    all_tables, assert_all_free, depth, is_broken, is_writable, log, logged, session,
    until_all_free,
};

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

#[test]
fn an_owned_guard_can_be_moved_into_a_thread() {
    let db = Database::with_tables();
    let pool = db.pool(1);
    let mut guard = all_tables().acquire_owned(pool.get().unwrap()).unwrap();
    log(&mut guard, "here").unwrap();
    assert!(!is_writable(&db, "audit_log"));
    thread::spawn(move || {
        log(&mut guard, "there").unwrap();
        guard.release().unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(logged(&db), ["here", "there"]);
    assert_all_free(&db);
}

#[test]
fn the_tables_are_free_before_the_connection_is_back_in_its_pool() {
    let db = Database::with_tables();
    let pool = db.pool(1);
    let found = session(&mut pool.get().unwrap());
    let id = connection_id(&mut pool.get().unwrap());
    let ends: [fn(TableLockGuard<Pooled>); 3] =
        [drop, |guard| drop(guard.release().unwrap()), |guard| drop(guard.rollback().unwrap())];
    for end in ends.into_iter().cycle().take(30) {
        let guard = all_tables().acquire_owned(pool.get().unwrap()).unwrap();
        let ending = thread::spawn(move || end(guard));
        // The pool has one connection, so this waits until it is returned.
        let mut back = pool.get().unwrap();
        assert_all_free(&db);
        assert_eq!((session(&mut back), depth(&mut back)), (found, Some(0)));
        assert_eq!(connection_id(&mut back), id, "discarded without a reason");
        drop(back);
        ending.join().unwrap();
    }
}

#[test]
fn release_and_rollback_return_the_connection() {
    let db = Database::with_tables();
    let boxed = all_tables().acquire_owned(Box::new(db.connect())).unwrap();
    let boxed: Box<MysqlConnection> = boxed.release().unwrap();
    let mut guard = all_tables().acquire_owned(boxed).unwrap();
    log(&mut guard, "rolled back").unwrap();
    let mut boxed: Box<MysqlConnection> = guard.rollback().unwrap();
    log(&mut boxed, "on its own").unwrap();
    assert_eq!(logged(&db), ["on its own"]);
}

#[test]
fn a_failed_acquire_returns_the_connection() {
    let db = Database::with_tables();
    let (pool, mut holder) = (db.pool(1), db.connect());
    let held = TableLock::new().write::<audit_log::table>().acquire(&mut holder).unwrap();
    let mut conn = pool.get().unwrap();
    let (id, found) = (connection_id(&mut conn), session(&mut conn));
    for lock in [
        all_tables().timeout(Duration::ZERO),
        TableLock::new(),
        TableLock::new().read_table(""),
        TableLock::new().read_table("unknown"),
    ] {
        let failed = lock.acquire_owned(conn).map(drop).unwrap_err();
        (_, conn) = failed.into_parts();
        assert_eq!(connection_id(&mut conn), id);
        assert_eq!(session(&mut conn), found);
        assert!(!is_broken(&mut conn));
    }
    held.release().unwrap();
    all_tables().acquire_owned(conn).unwrap().release().unwrap();
    assert_all_free(&db);
}

#[test]
fn the_error_of_a_failed_acquire_converts_with_the_question_mark() {
    fn ours(conn: Box<MysqlConnection>) -> Result<(), Error> {
        TableLock::new().acquire_owned(conn)?.release()?;
        Ok(())
    }
    fn diesels(conn: Box<MysqlConnection>) -> QueryResult<()> {
        TableLock::new().acquire_owned(conn)?.release()?;
        Ok(())
    }
    let db = Database::new();
    assert!(matches!(ours(Box::new(db.connect())), Err(Error::NoTables)));
    let error = diesels(Box::new(db.connect())).unwrap_err();
    assert!(matches!(Error::from(error), Error::NoTables));
}

#[test]
fn a_pool_discards_a_connection_that_was_lost_under_a_guard() {
    let db = Database::with_tables();
    let (proxy, mut admin) = (Proxy::new(), Admin::new());
    let manager = ConnectionManager::<MysqlConnection>::new(db.url_through(&proxy));
    // The pool does not test connections on checkout, so it relies on the state that the guard
    // leaves.
    let pool = Pool::builder().max_size(1).test_on_check_out(false).build(manager).unwrap();
    let ends: [fn(TableLockGuard<Pooled>); 4] = [
        drop,
        |guard| assert!(guard.release().is_err()),
        |guard| assert!(guard.rollback().is_err()),
        |mut guard| assert!(log(&mut guard, "lost").is_err()),
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut conn = pool.get().unwrap();
        let id = connection_id(&mut conn);
        let mut guard = all_tables().acquire_owned(conn).unwrap();
        log(&mut guard, "lost").unwrap();
        // Lost by the network, or killed by an administrator.
        if n % 2 == 0 {
            proxy.cut_now();
        } else {
            admin.kill_connection(id);
        }
        end(guard);
        assert_ne!(connection_id(&mut pool.get().unwrap()), id);
        until_all_free(&db);
        assert_eq!(logged(&db), [""; 0]);
    }
}
