//! Guards that own a connection, and connection pools.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use diesel_locks::{Error, Lock, LockGuard};

use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};

const LOCK: Lock = Lock::new("lock");

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

#[test]
fn an_owned_guard_can_be_moved_into_a_thread_and_kept_in_a_struct() {
    struct Job {
        guard: LockGuard<Pooled>,
    }
    let db = Database::new();
    let (pool, mut other) = (db.pool(1), db.connect());
    // The name does not live as long as the guard.
    let guard = Lock::new(&String::from("lock")).acquire_owned(pool.get().unwrap()).unwrap();
    let job = Job { guard };
    let (proceed, wait) = mpsc::channel::<()>();
    let worker = thread::spawn(move || {
        let mut job = job;
        wait.recv().unwrap();
        connection_id(&mut job.guard);
        assert!(job.guard.is_still_held().unwrap());
    });
    assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
    proceed.send(()).unwrap();
    worker.join().unwrap();
    assert!(LOCK.try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn the_lock_is_released_before_the_connection_is_back_in_its_pool() {
    let db = Database::new();
    let (pool, mut admin) = (db.pool(1), Admin::new());
    let full_name = db.full_name("lock");
    let ends: [fn(LockGuard<Pooled>); 2] = [drop, |guard| drop(guard.release().unwrap())];
    for end in ends.into_iter().cycle().take(40) {
        let guard = LOCK.acquire_owned(pool.get().unwrap()).unwrap();
        assert!(admin.holder(&full_name).is_some());
        let ending = thread::spawn(move || end(guard));
        // The pool has one connection, so this waits until it is returned.
        let back = pool.get().unwrap();
        assert_eq!(admin.holder(&full_name), None);
        drop(back);
        ending.join().unwrap();
    }
}

#[test]
fn release_and_leak_return_the_connection() {
    let db = Database::new();
    let pool = db.pool(1);
    let mut conn: Pooled = LOCK.acquire_owned(pool.get().unwrap()).unwrap().release().unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);
    let mut conn: Pooled = LOCK.acquire_owned(conn).unwrap().leak();
    let id = connection_id(&mut conn);
    drop(conn);

    // A leaked lock returns to the pool with its connection, and can be released from there.
    let mut conn = pool.get().unwrap();
    assert_eq!(LOCK.holding_connection_id(&mut conn).unwrap(), Some(id));
    assert_eq!(Lock::release_all(&mut conn).unwrap(), 1);
}

#[test]
fn a_guard_can_own_anything_that_dereferences_to_a_connection() {
    let db = Database::new();
    let boxed = LOCK.acquire_owned(Box::new(db.connect())).unwrap();
    let mut conn: Box<MysqlConnection> = boxed.release().unwrap();
    let borrowed = LOCK.acquire_owned(&mut *conn).unwrap();
    // A guard dereferences to its connection too.
    let inner = LOCK.acquire_owned(borrowed).unwrap();
    let outer = inner.release().unwrap();
    drop(outer);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_failed_acquire_returns_the_connection() {
    let db = Database::new();
    let (pool, mut holder) = (db.pool(1), db.connect());
    let _held = LOCK.acquire(&mut holder).unwrap();
    let mut conn = pool.get().unwrap();
    let id = connection_id(&mut conn);
    for lock in [
        LOCK.timeout(Duration::ZERO),
        LOCK.timeout(Duration::from_millis(10)),
        Lock::new(""),
        Lock::new(&"n".repeat(200)),
    ] {
        let failed = lock.acquire_owned(conn).map(drop).unwrap_err();
        assert!(
            matches!(failed.error(), Error::Timeout { .. } | Error::InvalidName { .. }),
            "{failed:?}"
        );
        (_, conn) = failed.into_parts();
        assert_eq!(connection_id(&mut conn), id);
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
    Lock::new("another").acquire_owned(conn).unwrap().release().unwrap();
}

#[test]
fn the_error_of_a_failed_acquire_converts_with_the_question_mark() {
    fn ours(conn: Pooled) -> Result<(), Error> {
        LOCK.timeout(Duration::ZERO).acquire_owned(conn)?.release()?;
        Ok(())
    }
    fn diesels(conn: Pooled) -> QueryResult<()> {
        LOCK.timeout(Duration::ZERO).acquire_owned(conn)?.release()?;
        Ok(())
    }
    let db = Database::new();
    let (pool, mut holder) = (db.pool(1), db.connect());
    let _held = LOCK.acquire(&mut holder).unwrap();
    assert!(matches!(ours(pool.get().unwrap()), Err(Error::Timeout { .. })));
    let error = diesels(pool.get().unwrap()).unwrap_err();
    assert!(matches!(Error::from(error), Error::Timeout { .. }));
}

#[test]
fn a_pool_discards_a_connection_that_was_lost_under_a_guard() {
    let db = Database::new();
    let proxy = Proxy::new();
    let manager = ConnectionManager::<MysqlConnection>::new(db.url_through(&proxy));
    // The pool does not test connections on checkout, so it relies on the state that the guard
    // leaves.
    let pool = Pool::builder().max_size(1).test_on_check_out(false).build(manager).unwrap();
    let ends: [fn(LockGuard<Pooled>); 4] = [
        drop,
        |guard| assert!(guard.release().is_err()),
        |mut guard| assert!(guard.is_still_held().is_err()),
        |mut guard| assert!(Lock::new("another").acquire(&mut guard).is_err()),
    ];
    for end in ends {
        let mut conn = pool.get().unwrap();
        let id = connection_id(&mut conn);
        let guard = LOCK.acquire_owned(conn).unwrap();
        proxy.cut_now();
        end(guard);
        assert_ne!(connection_id(&mut pool.get().unwrap()), id);
        Admin::new().until_free(&db.full_name("lock"));
    }
}

#[test]
fn an_owned_guard_releases_when_its_thread_panics() {
    let db = Database::new();
    let (pool, mut admin) = (db.pool(1), Admin::new());
    let guard = LOCK.acquire_owned(pool.get().unwrap()).unwrap();
    let panicked = thread::spawn(move || {
        let mut guard = guard;
        guard.batch_execute("DO 0").unwrap();
        panic!("while the lock is held");
    });
    assert!(panicked.join().is_err());
    assert_eq!(admin.holder(&db.full_name("lock")), None);
}

#[test]
fn a_busy_lock_is_no_error_and_the_connection_is_back_in_its_pool() {
    let db = Database::new();
    let (pool, mut holder) = (db.pool(1), db.connect());
    let held = LOCK.acquire(&mut holder).unwrap();
    assert!(LOCK.try_acquire_owned(pool.get().unwrap()).unwrap().is_none());
    assert_eq!(pool.state().idle_connections, 1);
    held.release().unwrap();

    let guard: LockGuard<Pooled> = LOCK.try_acquire_owned(pool.get().unwrap()).unwrap().unwrap();
    assert_eq!(pool.state().idle_connections, 0);
    assert!(LOCK.try_acquire_owned(&mut holder).unwrap().is_none());
    thread::spawn(move || drop(guard)).join().unwrap();
    assert!(LOCK.try_acquire_owned(&mut holder).unwrap().is_some());
    assert_eq!(count_and_release_locks(&mut pool.get().unwrap()), 0);
}

#[test]
fn an_owned_try_that_fails_returns_the_connection() {
    let db = Database::new();
    let pool = db.pool(1);
    let mut conn = pool.get().unwrap();
    let id = connection_id(&mut conn);
    let failed = Lock::new("").try_acquire_owned(conn).map(drop).unwrap_err();
    let (error, mut conn) = failed.into_parts();
    assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
    assert_eq!(connection_id(&mut conn), id);
    Admin::new().kill_connection(id);
    Admin::new().until_gone(id);
    let failed = LOCK.try_acquire_owned(conn).map(drop).unwrap_err();
    assert!(matches!(failed.error(), Error::ConnectionLost(_)), "{failed:?}");
    drop(failed);
    assert_ne!(connection_id(&mut pool.get().unwrap()), id);
}
