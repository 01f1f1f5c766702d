//! Failures while acquiring a table lock, and under one.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock, TableLockGuard};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{self, Admin, connection_id};
use crate::support::table_checks::{
    Place, SESSIONS, all_tables, assert_all_free, depth, has_locked_tables, has_open_transaction,
    is_broken, log, logged, session, until_all_free,
};
use crate::support::user::User;

/// Locks `audit_log` at once, and then waits for `places` if another connection holds it.
fn second_is_waited_for() -> TableLock {
    TableLock::new().write::<audit_log::table>().write::<Place>()
}

/// Expects that the acquire fails and leaves the session as it was.
#[track_caller]
fn fails_in(settings: &str, db: &Database, conn: &mut MysqlConnection, lock: &TableLock) -> Error {
    conn.batch_execute(settings).unwrap();
    let found = session(conn);
    let error = lock.acquire(conn).map(drop).unwrap_err();
    assert_eq!(session(conn), found, "after {settings}: {error:?}");
    assert_eq!(depth(conn), Some(0), "after {settings}: {error:?}");
    assert!(!is_broken(conn), "after {settings}: {error:?}");
    assert!(!has_open_transaction(conn), "after {settings}: {error:?}");
    // Another connection may hold the other tables.
    let mut other = db.connect();
    other.batch_execute("SET lock_wait_timeout = 1; LOCK TABLES audit_log WRITE").unwrap();
    conn.batch_execute("SET autocommit = 1").unwrap();
    error
}

/// Expects the same in each kind of session.
#[track_caller]
fn fails(db: &Database, conn: &mut MysqlConnection, lock: &TableLock) -> Error {
    let [first, second, third] = SESSIONS;
    fails_in(first, db, conn, lock);
    fails_in(second, db, conn, lock);
    fails_in(third, db, conn, lock)
}

#[test]
fn an_unknown_table_among_others_leaves_nothing_locked() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let lock = TableLock::new().write::<audit_log::table>().read_table("unknown").write::<Place>();
    let error = fails(&db, &mut conn, &lock);
    assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
    assert!(error.to_string().contains("unknown"), "{error}");
    assert!(!has_locked_tables(&mut conn));
    assert_all_free(&db);
}

#[test]
fn a_missing_privilege_on_one_table_leaves_nothing_locked() {
    let db = Database::with_tables();
    let grants = ["LOCK TABLES ON `DB`.*", "SELECT, INSERT ON `DB`.audit_log"];
    let user = User::with_only(&db, &grants.map(|grant| grant.replace("DB", db.name())));
    let mut conn = user.connect();
    let error = fails(&db, &mut conn, &second_is_waited_for());
    assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
    assert_all_free(&db);
    // These two privileges are enough.
    let lock = TableLock::new().write::<audit_log::table>();
    lock.with(&mut conn, |conn| log(conn, "with few privileges")).unwrap();
    assert_eq!(logged(&db), ["with few privileges"]);
}

#[test]
fn a_user_without_the_privilege_to_lock_tables_is_told_what_to_grant() {
    let db = Database::with_tables();
    let user = User::with_only(&db, &[format!("SELECT, INSERT ON `{}`.*", db.name())]);
    let mut conn = user.connect();
    let error = fails(&db, &mut conn, &second_is_waited_for());
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("grant") && text.contains("`LOCK TABLES`"), "{text}");
    assert!(text.contains("`audit_log` WRITE"), "{text}");
    assert_all_free(&db);
}

#[test]
fn a_read_only_session_can_lock_for_reading_only() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("SET SESSION TRANSACTION READ ONLY").unwrap();
    let error = fails(&db, &mut conn, &second_is_waited_for());
    assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
    assert_all_free(&db);
    let lock = TableLock::new().read::<audit_log::table>();
    let rows = lock.with(&mut conn, |conn| audit_log::table.count().get_result::<i64>(conn));
    assert_eq!(rows, Ok(0));
    assert!(log(&mut conn, "not allowed").is_err());
}

#[test]
fn a_timeout_leaves_the_session_as_it_was() {
    let db = Database::with_tables();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    let error = fails(&db, &mut conn, &second_is_waited_for().timeout(Duration::from_millis(10)));
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
}

#[test]
fn a_killed_wait_is_interrupted_and_leaves_the_session_as_it_was() {
    let db = Database::with_tables();
    let (mut conn, mut holder, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    for settings in SESSIONS {
        thread::scope(|threads| {
            let waiting =
                threads.spawn(|| fails_in(settings, &db, &mut conn, &second_is_waited_for()));
            admin.until_waiting(id);
            admin.kill_query(id);
            let error = waiting.join().unwrap();
            assert!(
                matches!(&error, Error::Interrupted { lock, .. } if lock.contains("`places` WRITE")),
                "{error:?}"
            );
        });
    }
}

#[test]
fn a_wait_cut_short_by_max_statement_time_is_interrupted() {
    if server::is_mysql() {
        // `max_execution_time` applies only to `SELECT`.
        return;
    }
    let db = Database::with_tables();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    conn.batch_execute("SET max_statement_time = 0.5").unwrap();
    let error = fails(&db, &mut conn, &second_is_waited_for());
    assert!(matches!(error, Error::Interrupted { .. }), "{error:?}");
}

#[test]
fn a_failure_without_an_error_number_is_diesels_error() {
    let db = Database::with_tables();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    conn.batch_execute("SET max_error_count = 0").unwrap();
    let error = fails(&db, &mut conn, &second_is_waited_for().timeout(Duration::ZERO));
    assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
}

#[test]
fn a_connection_killed_while_waiting_leaves_nothing_locked() {
    let db = Database::with_tables();
    let (mut conn, mut holder, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let waiting =
            threads.spawn(|| second_is_waited_for().acquire(&mut conn).map(drop).unwrap_err());
        admin.until_waiting(id);
        admin.kill_connection(id);
        let error = waiting.join().unwrap();
        assert!(matches!(error, Error::ConnectionLost(_)), "{error:?}");
    });
    assert!(is_broken(&mut conn));
    held.release().unwrap();
    until_all_free(&db);
}

#[test]
fn a_connection_killed_in_the_body_leaves_nothing_locked_or_written() {
    type Answer = fn(QueryResult<usize>) -> QueryResult<usize>;
    let answers: [(Answer, bool); 3] =
        [(|failed| failed, false), (|_| Ok(0), false), (|_| Err(DieselError::NotFound), true)];
    let db = Database::with_tables();
    let mut admin = Admin::new();
    for (answer, is_the_bodys) in answers {
        let mut conn = db.connect();
        let id = connection_id(&mut conn);
        let ended = all_tables().with(&mut conn, |conn| {
            log(conn, "lost")?;
            admin.kill_connection(id);
            admin.until_gone(id);
            answer(log(conn, "on a dead connection"))
        });
        // The body's error takes precedence over that of the rollback.
        assert_eq!(ended.unwrap_err() == DieselError::NotFound, is_the_bodys);
        assert!(is_broken(&mut conn));
        until_all_free(&db);
        assert_eq!(logged(&db), [""; 0]);
    }
}

#[test]
fn a_connection_whose_session_cannot_be_restored_is_closed() {
    let db = Database::with_tables();
    let mut admin = Admin::new();
    let ends: [fn(TableLockGuard<&mut MysqlConnection>); 2] =
        [|guard| assert!(guard.release().is_err()), |guard| assert!(guard.rollback().is_err())];
    for end in ends {
        let mut conn = db.connect();
        let id = connection_id(&mut conn);
        let mut guard = all_tables().acquire(&mut conn).unwrap();
        // A value that the server refuses stands for any reason why restoring may fail.
        guard.batch_execute("SET @diesel_locks_scope = @diesel_locks_scope + (7 << 40)").unwrap();
        end(guard);
        assert!(is_broken(&mut conn));
        admin.until_gone(id);
        assert!(conn.batch_execute("DO 0").is_err());
        until_all_free(&db);
    }
}
