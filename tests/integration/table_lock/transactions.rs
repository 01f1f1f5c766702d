//! Transactions that are already open: refused, and neither committed nor rolled back.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock};

use crate::support::schema::{Database, audit_log};
use crate::support::table_checks::{
    all_tables, assert_all_free, depth, has_open_transaction, is_broken, log, logged, session,
};

/// Expects that the owner of the transaction can still commit its write, or roll it back.
#[track_caller]
fn is_left_to_its_owner(begin: &str, commit: &str, roll_back: &str) {
    for (end, messages) in [(commit, vec!["the owner's"]), (roll_back, vec![])] {
        let db = Database::with_tables();
        let mut conn = db.connect();
        conn.batch_execute(begin).unwrap();
        conn.batch_execute("INSERT INTO audit_log (message) VALUES ('the owner\\'s')").unwrap();
        let found = session(&mut conn);

        let refused = all_tables().acquire(&mut conn).map(drop);
        assert!(refused.is_err(), "after {begin}");
        let refused = TableLock::new()
            .read::<audit_log::table>()
            .with(&mut conn, |_| -> Result<(), Error> { panic!("the body runs") });
        assert!(refused.is_err(), "after {begin}");

        assert_eq!(session(&mut conn), found, "after {begin}");
        assert_eq!(depth(&mut conn), Some(0), "after {begin}");
        assert!(!is_broken(&mut conn), "after {begin}");
        assert_eq!(logged(&db), [""; 0], "committed after {begin}");
        conn.batch_execute(end).unwrap();
        assert_eq!(logged(&db), messages, "after {begin} and {end}");
        assert_all_free(&db);
    }
}

#[test]
fn a_transaction_begun_in_plain_sql_is_refused_and_left_untouched() {
    is_left_to_its_owner("BEGIN", "COMMIT", "ROLLBACK");
    is_left_to_its_owner("START TRANSACTION READ WRITE", "COMMIT", "ROLLBACK");
    is_left_to_its_owner("SET lock_wait_timeout = 7; BEGIN", "COMMIT", "ROLLBACK");
}

#[test]
fn a_transaction_begun_without_autocommit_is_refused_and_left_untouched() {
    is_left_to_its_owner("SET autocommit = 0", "COMMIT", "ROLLBACK");
    is_left_to_its_owner("SET autocommit = 0, innodb_table_locks = 0", "COMMIT", "ROLLBACK");
}

#[test]
fn an_open_xa_transaction_is_refused_and_left_untouched() {
    // An XA transaction is known by its name in all databases of the server.
    let name = format!("'{}'", Database::new().name());
    let ended = |end: &str| format!("XA END {name}; XA PREPARE {name}; XA {end} {name}");
    is_left_to_its_owner(&format!("XA START {name}"), &ended("COMMIT"), &ended("ROLLBACK"));
}

#[test]
fn a_transaction_without_an_error_number_is_refused_and_left_untouched() {
    is_left_to_its_owner("SET max_error_count = 0; BEGIN", "COMMIT", "ROLLBACK");
}

#[test]
fn a_read_only_transaction_is_refused_and_keeps_its_snapshot() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    for begin in ["START TRANSACTION READ ONLY", "START TRANSACTION WITH CONSISTENT SNAPSHOT"] {
        conn.batch_execute(begin).unwrap();
        let before: i64 = audit_log::table.count().get_result(&mut conn).unwrap();
        let refused = all_tables().acquire(&mut conn).map(drop);
        assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
        log(&mut db.connect(), "later").unwrap();
        // It still sees the same rows.
        assert_eq!(audit_log::table.count().get_result(&mut conn), Ok(before));
        conn.batch_execute("COMMIT").unwrap();
    }
}

#[test]
fn an_open_transaction_is_reported_as_in_transaction() {
    let db = Database::with_tables();
    for begin in ["BEGIN", "SET autocommit = 0; SELECT 1 FROM audit_log"] {
        let mut conn = db.connect();
        conn.batch_execute(begin).unwrap();
        let refused = all_tables().acquire(&mut conn).map(drop);
        assert!(matches!(refused, Err(Error::InTransaction { .. })), "{begin}: {refused:?}");
        assert!(has_open_transaction(&mut conn), "{begin}");
    }
}

#[test]
fn a_transaction_begun_by_diesel_is_refused_and_left_untouched() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    for deeper in [false, true] {
        let result = conn.transaction(|conn| {
            log(conn, "in Diesel's transaction")?;
            if deeper {
                conn.transaction(|conn| {
                    refuse(conn);
                    QueryResult::Ok(())
                })?;
            } else {
                refuse(conn);
            }
            assert_eq!(depth(conn), Some(1));
            assert_eq!(logged(&db), [""; 0]);
            Err::<(), _>(DieselError::RollbackTransaction)
        });
        assert_eq!(result, Err(DieselError::RollbackTransaction));
        assert_eq!(logged(&db), [""; 0]);
    }
    conn.begin_test_transaction().unwrap();
    refuse(&mut conn);
}

fn refuse(conn: &mut MysqlConnection) {
    let refused = all_tables().acquire(conn).map(drop);
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
}

#[test]
fn the_refusal_survives_conversion_to_diesels_error() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let refused = conn.transaction(|conn| all_tables().with(conn, |_| QueryResult::Ok(())));
    let error = Error::from(refused.unwrap_err());
    assert!(matches!(error, Error::InTransaction { .. }), "{error:?}");
    assert!(!is_broken(&mut conn));
}

#[test]
fn a_session_without_autocommit_and_without_a_transaction_can_lock() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("SET autocommit = 0; INSERT INTO audit_log (message) VALUES ('before')")
        .unwrap();
    conn.batch_execute("COMMIT").unwrap();
    all_tables().with(&mut conn, |conn| log(conn, "under the lock")).unwrap();
    log(&mut conn, "after").unwrap();
    assert_eq!(logged(&db), ["before", "under the lock"]);
    conn.batch_execute("ROLLBACK").unwrap();
    assert_eq!(logged(&db), ["before", "under the lock"]);
}
