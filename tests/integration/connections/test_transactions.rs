//! Diesel's test transactions: what an application's tests see of its locks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, TestCustomizer};
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, OpenTransaction, with_lock, with_table_lock};

use crate::support::schema::{Database, MysqlPool, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{all_tables, depth, is_broken, log, logged, session};

const LOCK: Lock = Lock::new("lock");

fn in_test(db: &Database) -> MysqlConnection {
    let mut conn = db.connect();
    conn.begin_test_transaction().unwrap();
    conn
}

fn test_pool(db: &Database) -> MysqlPool {
    Pool::builder()
        .max_size(1)
        .connection_customizer(Box::new(TestCustomizer))
        .build(ConnectionManager::new(db.url()))
        .unwrap()
}

/// Returns what the test itself sees of its work.
fn seen(conn: &mut MysqlConnection) -> Vec<String> {
    audit_log::table.order(audit_log::id).select(audit_log::message).load(conn).unwrap()
}

/// Expects that the test transaction is still open, and that nothing of it was committed.
#[track_caller]
fn is_intact(db: &Database, conn: &mut MysqlConnection, messages: &[&str]) {
    assert_eq!(seen(conn), messages);
    assert_eq!(logged(db), [""; 0], "committed");
    assert_eq!(depth(conn), Some(1));
    assert!(!is_broken(conn));
    assert_eq!(count_and_release_locks(conn), 0);
}

#[test]
fn named_locks_work_in_a_test_transaction() {
    let db = Database::with_tables();
    let (mut conn, mut admin) = (in_test(&db), Admin::new());
    let id = connection_id(&mut conn);
    let mut guard = LOCK.acquire(&mut conn).unwrap();
    assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
    log(&mut guard, "acquire").unwrap();
    guard.release().unwrap();
    LOCK.with(&mut conn, |conn| log(conn, "with")).unwrap();
    LOCK.try_with(&mut conn, |conn| log(conn, "try_with")).unwrap().unwrap();
    is_intact(&db, &mut conn, &["acquire", "with", "try_with"]);
    AnsiTransactionManager::rollback_transaction(&mut conn).unwrap();
    assert_eq!(seen(&mut conn), [""; 0]);
}

#[test]
fn a_transaction_under_a_lock_is_a_savepoint_of_the_test() {
    let db = Database::with_tables();
    let mut conn = in_test(&db);
    log(&mut conn, "before").unwrap();
    LOCK.transaction(&mut conn, |conn| {
        assert_eq!(depth(conn), Some(2));
        log(conn, "kept")
    })
    .unwrap();
    let undone = LOCK.transaction(&mut conn, |conn| {
        log(conn, "rolled back")?;
        Err::<(), _>(DieselError::NotFound)
    });
    assert_eq!(undone, Err(DieselError::NotFound));
    is_intact(&db, &mut conn, &["before", "kept"]);

    let mut guard = LOCK.acquire(&mut conn).unwrap();
    guard.transaction(|conn| log(conn, "a guard's")).unwrap();
    let undone = guard.transaction(|conn| {
        log(conn, "rolled back")?;
        Err::<(), _>(DieselError::NotFound)
    });
    assert_eq!(undone, Err(DieselError::NotFound));
    assert!(guard.is_still_held().unwrap());
    guard.release().unwrap();
    is_intact(&db, &mut conn, &["before", "kept", "a guard's"]);
}

#[test]
fn transactions_are_nested_in_a_test_as_deep_as_in_an_application() {
    let db = Database::with_tables();
    let mut conn = in_test(&db);
    LOCK.transaction(&mut conn, |conn| {
        log(conn, "outer")?;
        conn.transaction(|conn| log(conn, "a savepoint"))?;
        let undone = conn.transaction(|conn| {
            log(conn, "rolled back")?;
            Err::<(), _>(DieselError::RollbackTransaction)
        });
        assert_eq!(undone, Err(DieselError::RollbackTransaction));
        QueryResult::Ok(())
    })
    .unwrap();
    is_intact(&db, &mut conn, &["outer", "a savepoint"]);
}

#[test]
fn a_body_that_panics_is_rolled_back_to_the_savepoint() {
    let db = Database::with_tables();
    let mut conn = in_test(&db);
    log(&mut conn, "before").unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        LOCK.transaction(&mut conn, |conn| -> QueryResult<()> {
            log(conn, "rolled back")?;
            panic!("in the body")
        })
    }));
    panicked.unwrap_err();
    is_intact(&db, &mut conn, &["before"]);
}

#[test]
fn a_body_that_leaves_a_transaction_open_is_rolled_back_to_the_savepoint() {
    let db = Database::with_tables();
    let mut conn = in_test(&db);
    log(&mut conn, "before").unwrap();
    let left = LOCK.transaction(&mut conn, |conn| {
        log(conn, "rolled back")?;
        AnsiTransactionManager::begin_transaction(conn)?;
        log(conn, "rolled back too").map(drop)
    });
    let error = Error::from(left.unwrap_err());
    assert!(
        matches!(error, Error::InTransaction { when: OpenTransaction::LeftByBody, .. }),
        "{error:?}"
    );
    is_intact(&db, &mut conn, &["before"]);
}

#[test]
fn a_body_that_commits_ends_the_test_transaction_and_is_reported() {
    let commits: [fn(&mut MysqlConnection) -> QueryResult<()>; 3] = [
        |conn| conn.batch_execute("COMMIT"),
        |conn| conn.batch_execute("CREATE TABLE another (id INT)"),
        AnsiTransactionManager::commit_transaction,
    ];
    for commit in commits {
        let db = Database::with_tables();
        let mut conn = in_test(&db);
        let ended = LOCK.transaction(&mut conn, |conn| {
            log(conn, "in the body")?;
            commit(conn)
        });
        let error = Error::from(ended.unwrap_err());
        assert!(matches!(error, Error::TransactionEnded { .. }), "{error:?}");
        assert_eq!(Admin::new().holder(&db.full_name("lock")), None);
    }
}

#[test]
fn a_table_lock_is_refused_and_the_test_transaction_is_left_intact() {
    #[with_table_lock(write(audit_log::table))]
    fn attribute(conn: &mut MysqlConnection) -> Result<(), Error> {
        panic!("the body runs at depth {:?}", depth(conn))
    }
    let db = Database::with_tables();
    let mut conn = in_test(&db);
    log(&mut conn, "before").unwrap();
    let found = session(&mut conn);
    let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("the body runs") };
    let nested = conn.transaction(|conn| {
        QueryResult::Ok([
            all_tables().acquire(conn).map(drop).unwrap_err(),
            attribute(conn).unwrap_err(),
        ])
    });
    let errors = [
        all_tables().acquire(&mut conn).map(drop).unwrap_err(),
        all_tables().acquire_owned(&mut conn).map(drop).unwrap_err().into(),
        all_tables().with(&mut conn, body).unwrap_err(),
        attribute(&mut conn).unwrap_err(),
    ];
    for error in nested.unwrap().into_iter().chain(errors) {
        assert!(
            matches!(error, Error::InTransaction { when: OpenTransaction::Test, .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(text.contains("test transactions") && text.contains("begin_test_transaction"));
    }
    assert_eq!(session(&mut conn), found);
    log(&mut conn, "after").unwrap();
    is_intact(&db, &mut conn, &["before", "after"]);
}

#[test]
fn attributes_use_savepoints_of_the_test_too() {
    #[with_lock("lock")]
    fn locked(conn: &mut MysqlConnection) -> QueryResult<usize> {
        log(conn, "locked")
    }

    #[with_lock("lock", transaction)]
    fn in_transaction(conn: &mut MysqlConnection, fail: bool) -> QueryResult<()> {
        assert_eq!(depth(conn), Some(2));
        log(conn, if fail { "rolled back" } else { "in a savepoint" })?;
        if fail { Err(DieselError::NotFound) } else { Ok(()) }
    }

    #[with_lock("lock", transaction)]
    fn commits(conn: &mut MysqlConnection) -> Result<(), Error> {
        Ok(conn.batch_execute("COMMIT")?)
    }

    let db = Database::with_tables();
    let mut conn = in_test(&db);
    locked(&mut conn).unwrap();
    in_transaction(&mut conn, false).unwrap();
    assert_eq!(in_transaction(&mut conn, true), Err(DieselError::NotFound));
    is_intact(&db, &mut conn, &["locked", "in a savepoint"]);
    let ended = commits(&mut conn);
    assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{ended:?}");
}

#[test]
fn a_pool_for_tests_lends_its_one_transaction_again_and_again() {
    let db = Database::with_tables();
    let pool = test_pool(&db);
    let id = connection_id(&mut pool.get().unwrap());
    LOCK.transaction(&mut pool.get().unwrap(), |conn| log(conn, "transaction")).unwrap();
    LOCK.with(&mut pool.get().unwrap(), |conn| log(conn, "with")).unwrap();
    let mut guard = LOCK.acquire_owned(pool.get().unwrap()).unwrap();
    guard.transaction(|conn| log(conn, "owned")).unwrap();
    drop(guard);
    let refused = all_tables().acquire_owned(pool.get().unwrap()).map(drop).unwrap_err();
    assert!(
        matches!(refused.error(), Error::InTransaction { when: OpenTransaction::Test, .. }),
        "{refused:?}"
    );
    drop(refused);
    let mut conn = pool.get().unwrap();
    assert_eq!(connection_id(&mut conn), id, "the pool has discarded the connection");
    is_intact(&db, &mut conn, &["transaction", "with", "owned"]);
}
