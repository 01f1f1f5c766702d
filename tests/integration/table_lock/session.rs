//! Every way out of a table lock leaves the session as it was, the tables unlocked, and Diesel
//! without an open transaction.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use diesel::connection::{AnsiTransactionManager, SimpleConnection, TransactionManager};
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock, TableLockGuard};

use crate::support::schema::{Database, audit_log, customers};
use crate::support::table_checks::{
    SESSIONS, all_tables, assert_all_free, depth, has_locked_tables, has_open_transaction,
    is_broken, log, logged, session,
};

/// Whether the row that is written under the lock is there in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Committed,
    RolledBack,
}

#[track_caller]
fn leaves_everything_as_it_was(expected: Write, way: impl Fn(&mut MysqlConnection)) {
    for settings in SESSIONS {
        let db = Database::with_tables();
        let mut conn = db.connect();
        conn.batch_execute(settings).unwrap();
        let found = session(&mut conn);
        way(&mut conn);
        assert_eq!(session(&mut conn), found, "after {settings}");
        assert_eq!(depth(&mut conn), Some(0), "after {settings}");
        assert!(!is_broken(&mut conn), "after {settings}");
        assert!(!has_open_transaction(&mut conn), "after {settings}");
        assert!(!has_locked_tables(&mut conn), "after {settings}");
        assert_all_free(&db);
        let written = !logged(&db).is_empty();
        assert_eq!(written, expected == Write::Committed, "after {settings}");

        // The connection can still lock tables and begin transactions.
        all_tables().with(&mut conn, |conn| log(conn, "locked again")).unwrap();
        conn.transaction(|conn| log(conn, "and not locked")).unwrap();
        assert_eq!(session(&mut conn), found, "after {settings}");
        assert_eq!(logged(&db).len(), 2 + usize::from(written), "{:?}", logged(&db));
    }
}

fn with(
    conn: &mut MysqlConnection,
    body: impl FnOnce(&mut MysqlConnection) -> QueryResult<()>,
) -> QueryResult<()> {
    all_tables().timeout(Duration::from_secs(3)).with(conn, |conn| {
        log(conn, "under the lock")?;
        body(conn)
    })
}

fn acquire(conn: &mut MysqlConnection) -> TableLockGuard<&mut MysqlConnection> {
    let mut guard = all_tables().timeout(Duration::from_secs(3)).acquire(conn).unwrap();
    log(&mut guard, "under the lock").unwrap();
    guard
}

/// Expects the error of a body that has ended its transaction.
#[track_caller]
fn expect_ended<E: Into<Error>>(ended: Result<(), E>) {
    match ended.map_err(Into::into) {
        Err(Error::TransactionEnded { lock, .. }) => assert_eq!(lock, all_tables_listed()),
        other => panic!("{other:?}"),
    }
}

/// Returns the tables as errors name them.
fn all_tables_listed() -> String {
    let statement = all_tables().to_string();
    statement.strip_prefix("LOCK TABLES ").unwrap().to_owned()
}

fn begin_and_forget(conn: &mut MysqlConnection) {
    AnsiTransactionManager::begin_transaction(conn).unwrap();
}

#[test]
fn a_body_that_succeeds_commits_and_restores_the_session() {
    leaves_everything_as_it_was(Write::Committed, |conn| with(conn, |_| Ok(())).unwrap());
}

#[test]
fn a_body_that_fails_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        assert_eq!(with(conn, |_| Err(DieselError::NotFound)), Err(DieselError::NotFound));
    });
}

#[test]
fn a_body_whose_statement_fails_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let failed = with(conn, |conn| conn.batch_execute("SELECT * FROM no_such_table"));
        assert!(matches!(failed, Err(DieselError::DatabaseError(..))), "{failed:?}");
    });
}

#[test]
fn a_body_that_panics_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let panic = catch_unwind(AssertUnwindSafe(|| with(conn, |_| panic!("in the body"))));
        assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "in the body");
    });
}

#[test]
fn a_released_guard_commits_and_restores_the_session() {
    leaves_everything_as_it_was(Write::Committed, |conn| {
        acquire(conn).release().unwrap();
    });
}

#[test]
fn a_rolled_back_guard_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        acquire(conn).rollback().unwrap();
    });
}

#[test]
fn a_dropped_guard_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| drop(acquire(conn)));
}

#[test]
fn a_guard_dropped_by_a_panic_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let panic = catch_unwind(AssertUnwindSafe(|| {
            let _guard = acquire(conn);
            panic!("in the caller");
        }));
        assert!(panic.is_err());
    });
}

#[test]
fn a_nested_transaction_that_fails_with_the_body_is_rolled_back() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let failed = with(conn, |conn| {
            conn.transaction(|conn| {
                log(conn, "deeper")?;
                conn.transaction(|_| Err(DieselError::RollbackTransaction))
            })
        });
        assert_eq!(failed, Err(DieselError::RollbackTransaction));
    });
}

#[test]
fn a_nested_transaction_left_open_is_rolled_back() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let mut guard = acquire(conn);
        begin_and_forget(&mut guard);
        begin_and_forget(&mut guard);
        let refused = guard.release().map(drop);
        assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    });
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let mut guard = acquire(conn);
        begin_and_forget(&mut guard);
        guard.rollback().unwrap();
    });
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let mut guard = acquire(conn);
        begin_and_forget(&mut guard);
        drop(guard);
    });
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let failed = with(conn, |conn| {
            begin_and_forget(conn);
            Err(DieselError::NotFound)
        });
        assert_eq!(failed, Err(DieselError::NotFound));
    });
}

#[test]
fn a_nested_transaction_left_open_by_a_caught_panic_is_rolled_back() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let refused = with(conn, |conn| {
            let caught = catch_unwind(AssertUnwindSafe(|| {
                conn.transaction(|_| -> QueryResult<()> { panic!("in a savepoint") })
            }));
            assert!(caught.is_err());
            Ok(())
        });
        assert!(matches!(Error::from(refused.unwrap_err()), Error::InTransaction { .. }));
    });
}

#[test]
fn a_body_that_ends_the_transaction_itself_gets_an_error() {
    leaves_everything_as_it_was(Write::Committed, |conn| {
        expect_ended(with(conn, AnsiTransactionManager::commit_transaction));
    });
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        expect_ended(with(conn, AnsiTransactionManager::rollback_transaction));
    });
}

#[test]
fn writes_after_the_end_of_the_transaction_are_rolled_back() {
    fn ends_it_and_writes_more(conn: &mut MysqlConnection) -> QueryResult<()> {
        AnsiTransactionManager::commit_transaction(conn)?;
        log(conn, "after the end, without autocommit")?;
        Ok(())
    }
    leaves_everything_as_it_was(Write::Committed, |conn| {
        expect_ended(with(conn, ends_it_and_writes_more));
    });
    leaves_everything_as_it_was(Write::Committed, |conn| {
        let mut guard = acquire(conn);
        ends_it_and_writes_more(&mut guard).unwrap();
        expect_ended(guard.rollback().map(drop));
    });
    leaves_everything_as_it_was(Write::Committed, |conn| {
        let mut guard = acquire(conn);
        ends_it_and_writes_more(&mut guard).unwrap();
        expect_ended(guard.release().map(drop));
    });
    leaves_everything_as_it_was(Write::Committed, |conn| {
        let mut guard = acquire(conn);
        ends_it_and_writes_more(&mut guard).unwrap();
        drop(guard);
    });
}

/// Statements that end the transaction or unlock the tables, and what becomes of what was written
/// before.
const ENDS: [(&str, Write); 12] = [
    ("COMMIT", Write::Committed),
    ("ROLLBACK", Write::RolledBack),
    ("BEGIN", Write::Committed),
    ("START TRANSACTION", Write::Committed),
    ("UNLOCK TABLES", Write::Committed),
    ("LOCK TABLES audit_log WRITE", Write::Committed),
    ("SET autocommit = 1", Write::Committed),
    ("ANALYZE TABLE audit_log", Write::Committed),
    ("ALTER TABLE audit_log COMMENT 'changed'", Write::Committed),
    ("TRUNCATE audit_log", Write::RolledBack),
    ("CREATE TABLE more (id INT)", Write::Committed),
    ("DROP TABLE audit_log, no_such_table", Write::Committed),
];

/// Runs a statement that ends the transaction. Under the lock the servers refuse some of these, and
/// end the transaction all the same.
fn run_end(conn: &mut MysqlConnection, sql: &str) {
    if let Err(refused) = conn.batch_execute(sql) {
        assert!(sql.contains("TABLE"), "{sql}: {refused:?}");
    }
}

#[test]
fn a_body_that_ends_the_transaction_in_plain_sql_gets_an_error_and_the_session_is_restored() {
    for (sql, written) in ENDS {
        leaves_everything_as_it_was(written, |conn| {
            expect_ended(with(conn, |conn| {
                run_end(conn, sql);
                Ok(())
            }));
        });
        leaves_everything_as_it_was(written, |conn| {
            let mut guard = acquire(conn);
            run_end(&mut guard, sql);
            expect_ended(guard.release().map(drop));
        });
        leaves_everything_as_it_was(written, |conn| {
            let mut guard = acquire(conn);
            run_end(&mut guard, sql);
            expect_ended(guard.rollback().map(drop));
        });
        leaves_everything_as_it_was(written, |conn| {
            let mut guard = acquire(conn);
            run_end(&mut guard, sql);
            drop(guard);
        });
        // The body's own error takes precedence.
        leaves_everything_as_it_was(written, |conn| {
            let failed = with(conn, |conn| {
                run_end(conn, sql);
                Err(DieselError::NotFound)
            });
            assert_eq!(failed, Err(DieselError::NotFound), "{sql}");
        });
    }
}

#[test]
fn writes_after_a_statement_that_ended_the_transaction_are_rolled_back() {
    for (sql, written) in ENDS {
        if sql == "SET autocommit = 1" {
            // Each of them would be committed by the body.
            continue;
        }
        leaves_everything_as_it_was(written, |conn| {
            expect_ended(with(conn, |conn| {
                run_end(conn, sql);
                // `CREATE TABLE` is refused under the lock, and this is too if it was unlocked by
                // it.
                log(conn, "after the end").map(drop)
            }));
        });
    }
}

#[test]
fn variables_that_the_body_changes_are_restored() {
    let changed = "SET innodb_table_locks = 0, lock_wait_timeout = 99";
    leaves_everything_as_it_was(Write::Committed, |conn| {
        with(conn, |conn| conn.batch_execute(changed)).unwrap();
    });
}

#[test]
fn a_failed_commit_rolls_back_and_restores_the_session() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let mut guard = acquire(conn);
        // Diesel then refuses to commit, although the connection is alive.
        AnsiTransactionManager::transaction_manager_status_mut(&mut *guard).set_in_error();
        let failed = guard.release().map(drop);
        assert!(
            matches!(failed, Err(Error::Diesel(DieselError::BrokenTransactionManager))),
            "{failed:?}"
        );
    });
}

#[test]
fn the_bodys_error_takes_precedence_over_the_rollbacks() {
    leaves_everything_as_it_was(Write::RolledBack, |conn| {
        let failed = with(conn, |conn| {
            AnsiTransactionManager::transaction_manager_status_mut(conn).set_in_error();
            Err(DieselError::NotFound)
        });
        assert_eq!(failed, Err(DieselError::NotFound));
    });
}

#[test]
fn while_the_lock_is_held_diesel_is_in_a_transaction_and_the_session_is_prepared() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute(SESSIONS[1]).unwrap();
    conn.batch_execute("SET autocommit = 1").unwrap();
    let lock = TableLock::new().write::<audit_log::table>().timeout(Duration::from_millis(4_100));
    let mut guard = lock.acquire(&mut conn).unwrap();
    assert_eq!(depth(&mut guard), Some(1));
    let held = session(&mut guard);
    assert_eq!((held.autocommit, held.innodb_table_locks, held.lock_wait_timeout), (0, 1, 5));
    let others = customers::table.count().get_result::<i64>(&mut *guard);
    assert!(matches!(others, Err(DieselError::DatabaseError(..))), "{others:?}");
    guard.release().unwrap();
}

#[test]
fn a_forgotten_guard_leaves_a_connection_that_pools_discard() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let found = session(&mut conn);
    std::mem::forget(acquire(&mut conn));
    assert!(is_broken(&mut conn));
    let again = all_tables().acquire(&mut conn).map(drop);
    assert!(matches!(again, Err(Error::InTransaction { .. })), "{again:?}");

    // The next lock does not mistake the settings of the forgotten one for those of the session.
    AnsiTransactionManager::rollback_transaction(&mut conn).unwrap();
    all_tables().with(&mut conn, |conn| log(conn, "later")).unwrap();
    assert_eq!(session(&mut conn), found);
    assert_all_free(&db);
}
