//! Connections from pools, in cells, behind mutexes and references: the body gets what was passed.

use std::cell::RefCell;
use std::sync::{Mutex, MutexGuard, RwLock, RwLockWriteGuard, mpsc};
use std::thread;

use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel_locks::{Error, Lock, LockConnection, LockGuard, TableLock, with_lock, with_table_lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{all_tables, assert_all_free, is_writable, log, logged};

const LOCK: Lock = Lock::new("lock");

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// A function of an application, which takes the pool's connection and nothing else.
fn log_pooled(conn: &mut Pooled, message: &str) -> QueryResult<usize> {
    log(conn, message)
}

fn is_free(db: &Database) -> bool {
    LOCK.try_acquire(&mut db.connect()).unwrap().is_some()
}

/// Returns whether the lock is held by this very connection.
fn holds(conn: &mut (impl LockConnection + ?Sized)) -> bool {
    let conn = conn.mysql_connection().unwrap();
    let id = connection_id(conn);
    LOCK.holding_connection_id(conn).unwrap() == Some(id)
}

#[test]
fn a_closure_gets_the_pooled_connection_that_was_passed() {
    let db = Database::with_tables();
    let pool = db.pool(1);
    let mut conn: Pooled = pool.get().unwrap();
    LOCK.with(&mut conn, |conn| log_pooled(conn, "with")).unwrap();
    LOCK.try_with(&mut conn, |conn| log_pooled(conn, "try_with")).unwrap().unwrap();
    LOCK.transaction(&mut conn, |conn| log_pooled(conn, "transaction")).unwrap();
    all_tables().with(&mut conn, |conn| log_pooled(conn, "tables")).unwrap();
    all_tables()
        .with(&mut conn, |conn| {
            assert!(!is_writable(&db, "audit_log"));
            conn.transaction(|conn| log_pooled(conn, "a savepoint"))
        })
        .unwrap();
    assert_eq!(logged(&db), ["with", "try_with", "transaction", "tables", "a savepoint"]);
    assert!(is_free(&db));
    assert_all_free(&db);
}

#[test]
fn a_function_with_an_attribute_uses_its_pooled_connection_as_such() {
    #[with_lock("lock")]
    fn locked(conn: &mut Pooled) -> QueryResult<usize> {
        assert!(holds(conn));
        log_pooled(conn, "locked")
    }

    #[with_lock("lock", transaction)]
    fn in_transaction(conn: &mut Pooled) -> QueryResult<usize> {
        log_pooled(conn, "rolled back")?;
        Err(diesel::result::Error::RollbackTransaction)
    }

    #[with_table_lock(write(audit_log::table))]
    fn table_locked(conn: &mut Pooled) -> QueryResult<usize> {
        conn.transaction(|conn| log_pooled(conn, "table locked"))
    }

    #[with_table_lock(write(audit_log::table))]
    fn owned(mut conn: Pooled) -> QueryResult<usize> {
        log_pooled(&mut conn, "owned")
    }

    let db = Database::with_tables();
    let pool = db.pool(1);
    let mut conn = pool.get().unwrap();
    locked(&mut conn).unwrap();
    in_transaction(&mut conn).unwrap_err();
    table_locked(&mut conn).unwrap();
    owned(conn).unwrap();
    assert_eq!(logged(&db), ["locked", "table locked", "owned"]);
    assert_all_free(&db);
}

#[test]
fn guards_dereference_to_the_pooled_connection() {
    let db = Database::with_tables();
    let pool = db.pool(1);
    let mut conn = pool.get().unwrap();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    log_pooled(&mut guard, "borrowed").unwrap();
    guard.transaction(|conn| log_pooled(conn, "transaction")).unwrap();
    guard.release().unwrap();

    let mut guard: LockGuard<Pooled> = LOCK.acquire_owned(conn).unwrap();
    log_pooled(&mut guard, "owned").unwrap();
    guard.transaction(|conn| log_pooled(conn, "owned transaction")).unwrap();
    let conn: Pooled = guard.release().unwrap();

    let mut guard = all_tables().acquire_owned(conn).unwrap();
    log_pooled(&mut guard, "tables").unwrap();
    guard.release().unwrap();
    let messages = ["borrowed", "transaction", "owned", "owned transaction", "tables"];
    assert_eq!(logged(&db), messages);
}

#[test]
fn guards_are_moved_to_threads_and_released_there() {
    let db = Database::with_tables();
    let pool = db.pool(2);
    let guard = LOCK.acquire_owned(pool.get().unwrap()).unwrap();
    let (taken, wait_until_taken) = mpsc::channel();
    let worker = thread::spawn(move || {
        let mut guard = guard;
        assert!(guard.is_still_held().unwrap());
        let tables = all_tables().acquire_owned(Box::new(guard)).unwrap();
        taken.send(()).unwrap();
        tables
    });
    wait_until_taken.recv().unwrap();
    assert!(!is_free(&db));
    let mut guard = worker.join().unwrap();
    assert!(!is_writable(&db, "audit_log"));
    log_pooled(&mut guard, "in another thread").unwrap();
    let lock = guard.release().unwrap();
    assert_all_free(&db);
    assert!(!is_free(&db));
    lock.release().unwrap();
    assert!(is_free(&db));
    assert_eq!(logged(&db), ["in another thread"]);
}

#[test]
fn a_locked_mutex_and_a_borrowed_cell_are_connections() {
    fn through_mutex(conn: &mut MutexGuard<'_, Pooled>) -> QueryResult<usize> {
        log_pooled(conn, "mutex")
    }
    fn through_rwlock(conn: &mut RwLockWriteGuard<'_, MysqlConnection>) -> QueryResult<usize> {
        log(conn, "rwlock")
    }
    let db = Database::with_tables();
    let pool = db.pool(1);

    let mutex = Mutex::new(pool.get().unwrap());
    LOCK.with(&mut mutex.lock().unwrap(), through_mutex).unwrap();
    all_tables().with(&mut *mutex.lock().unwrap(), |conn| log_pooled(conn, "pooled")).unwrap();

    let rwlock = RwLock::new(db.connect());
    LOCK.transaction(&mut rwlock.write().unwrap(), through_rwlock).unwrap();

    let cell = RefCell::new(db.connect());
    LOCK.with(&mut cell.borrow_mut(), |conn| log(conn, "cell")).unwrap();
    let mut borrowed = cell.borrow_mut();
    let mut guard = LOCK.acquire(&mut *borrowed).unwrap();
    log(&mut guard, "guard").unwrap();
    drop(guard);
    drop(borrowed);

    assert_eq!(logged(&db), ["mutex", "pooled", "rwlock", "cell", "guard"]);
    assert_eq!(count_and_release_locks(&mut mutex.lock().unwrap()), 0);
    assert_eq!(count_and_release_locks(&mut rwlock.write().unwrap()), 0);
    assert_all_free(&db);
}

#[test]
fn boxes_double_references_and_guards_of_guards_are_connections() {
    let db = Database::with_tables();
    let mut boxed = Box::new(db.connect());
    LOCK.with(&mut boxed, |conn: &mut Box<MysqlConnection>| log(conn, "box")).unwrap();
    LOCK.with(&mut *boxed, |conn: &mut MysqlConnection| log(conn, "unboxed")).unwrap();
    let mut reference: &mut MysqlConnection = &mut boxed;
    LOCK.transaction(&mut reference, |conn| log(conn, "twice")).unwrap();

    let mut outer = LOCK.acquire(&mut reference).unwrap();
    let mut inner = Lock::new("inner").acquire(&mut outer).unwrap();
    let mut tables = all_tables().acquire(&mut inner).unwrap();
    log(&mut tables, "three guards").unwrap();
    assert!(holds(&mut tables));
    tables.release().unwrap();
    assert!(inner.is_still_held().unwrap());
    inner.release().unwrap();
    assert!(outer.is_still_held().unwrap());
    outer.release().unwrap();
    assert_eq!(logged(&db), ["box", "unboxed", "twice", "three guards"]);
    assert_eq!(count_and_release_locks(&mut boxed), 0);
}

#[test]
fn a_connection_of_a_type_that_is_not_known_can_be_locked() {
    fn with_any(conn: &mut dyn LockConnection) -> Result<(), Error> {
        LOCK.with(conn, |conn| {
            assert!(holds(&mut *conn));
            TableLock::new().write::<audit_log::table>().with(conn, |conn| {
                log(conn.mysql_connection().unwrap(), "dyn").map_err(Error::from).map(drop)
            })
        })
    }
    let db = Database::with_tables();
    let pool = db.pool(1);
    with_any(&mut db.connect()).unwrap();
    with_any(&mut pool.get().unwrap()).unwrap();
    let mut boxed: Box<dyn LockConnection> = Box::new(db.connect());
    with_any(&mut *boxed).unwrap();
    let mut guard = LOCK.acquire_owned(boxed).unwrap();
    assert!(guard.is_still_held().unwrap());
    assert!(holds(&mut guard));
    drop(guard);
    assert_eq!(Admin::new().holder(&db.full_name("lock")), None);
    assert_eq!(logged(&db), ["dyn"; 3]);
}
