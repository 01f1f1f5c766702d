//! `LockGuard::transaction`: several transactions under one lock.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, OpenTransaction};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{depth, has_open_transaction, is_broken, log, logged};

const LOCK: Lock = Lock::new("lock");

#[test]
fn the_lock_stays_held_from_one_transaction_to_the_next() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    for message in ["first", "second"] {
        let returned = guard.transaction(|conn| {
            assert_eq!(depth(conn), Some(1));
            log(conn, message)?;
            assert!(!logged(&db).contains(&message.to_owned()));
            QueryResult::Ok(message)
        });
        assert_eq!(returned, Ok(message));
        assert!(logged(&db).contains(&message.to_owned()));
        assert!(guard.is_still_held().unwrap());
        assert!(LOCK.try_acquire(&mut other).unwrap().is_none());
    }
    assert_eq!(depth(&mut guard), Some(0));
    guard.release().unwrap();
    assert!(LOCK.try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn an_error_of_the_body_rolls_back_and_keeps_the_lock() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    let failed = guard.transaction(|conn| {
        log(conn, "rolled back")?;
        Err::<(), _>(DieselError::NotFound)
    });
    assert_eq!(failed, Err(DieselError::NotFound));
    assert!(!has_open_transaction(&mut guard));
    assert!(guard.is_still_held().unwrap());
    guard.transaction(|conn| conn.transaction(|conn| log(conn, "a savepoint"))).unwrap();
    guard.release().unwrap();
    assert_eq!(logged(&db), ["a savepoint"]);
}

#[test]
fn a_panic_of_the_body_rolls_back_and_the_guard_can_go_on() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        guard.transaction(|conn| -> QueryResult<()> {
            log(conn, "rolled back")?;
            panic!("in the body")
        })
    }));
    panicked.unwrap_err();
    assert!(!has_open_transaction(&mut guard));
    assert!(guard.is_still_held().unwrap());
    guard.transaction(|conn| log(conn, "after the panic")).unwrap();
    guard.release().unwrap();
    assert_eq!(logged(&db), ["after the panic"]);
}

#[test]
fn a_body_that_ends_the_transaction_is_reported_and_keeps_the_lock() {
    let ends: [fn(&mut MysqlConnection) -> QueryResult<()>; 4] = [
        |conn| conn.batch_execute("COMMIT"),
        |conn| conn.batch_execute("ROLLBACK"),
        |conn| conn.batch_execute("CREATE TABLE another (id INT)"),
        AnsiTransactionManager::commit_transaction,
    ];
    for end in ends {
        let db = Database::with_tables();
        let mut conn = db.connect();
        let mut guard = LOCK.acquire(&mut conn).unwrap();
        let ended = guard.transaction(|conn| {
            end(conn)?;
            conn.batch_execute("SET autocommit = 0")?;
            log(conn, "not protected")
        });
        let error = Error::from(ended.unwrap_err());
        assert!(matches!(error, Error::TransactionEnded { .. }), "{error:?}");
        assert_eq!(logged(&db), [""; 0]);
        assert!(guard.is_still_held().unwrap());
        assert_eq!(depth(&mut guard), Some(0));
        guard.release().unwrap();
    }
}

#[test]
fn a_body_that_leaves_a_transaction_open_is_rolled_back_and_keeps_the_lock() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    let left = guard.transaction(|conn| {
        log(conn, "rolled back")?;
        AnsiTransactionManager::begin_transaction(conn)
    });
    let error = Error::from(left.unwrap_err());
    assert!(
        matches!(error, Error::InTransaction { when: OpenTransaction::LeftByBody, .. }),
        "{error:?}"
    );
    assert!(guard.is_still_held().unwrap());
    assert_eq!(depth(&mut guard), Some(0));
    guard.release().unwrap();
    assert_eq!(logged(&db), [""; 0]);
}

#[test]
fn an_open_transaction_is_refused_and_left_to_its_owner() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("the body runs") };
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    guard.batch_execute("BEGIN").unwrap();
    log(&mut guard, "the owner's").unwrap();
    let refused = guard.transaction(body);
    assert!(
        matches!(refused, Err(Error::InTransaction { when: OpenTransaction::Before, .. })),
        "{refused:?}"
    );
    assert_eq!(logged(&db), [""; 0]);
    guard.batch_execute("COMMIT").unwrap();
    assert_eq!(logged(&db), ["the owner's"]);
    assert!(guard.is_still_held().unwrap());
    drop(guard);

    let undone = conn.transaction(|conn| {
        let mut guard = LOCK.acquire(conn).unwrap();
        log(&mut guard, "rolled back")?;
        let refused = guard.transaction(body);
        assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
        assert_eq!(depth(&mut guard), Some(1));
        Err::<(), _>(DieselError::RollbackTransaction)
    });
    assert_eq!(undone, Err(DieselError::RollbackTransaction));
    assert_eq!(logged(&db), ["the owner's"]);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_connection_that_is_lost_in_the_body_commits_nothing() {
    let db = Database::with_tables();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    let lost = guard.transaction(|conn| {
        log(conn, "lost")?;
        admin.kill_connection(id);
        admin.until_gone(id);
        QueryResult::Ok(())
    });
    let error = Error::from(lost.unwrap_err());
    assert!(matches!(error, Error::ConnectionLost(_)), "{error:?}");
    assert!(is_broken(&mut guard));
    assert!(guard.release().is_err());
    assert_eq!(logged(&db), [""; 0]);
    admin.until_free(&db.full_name("lock"));
}
