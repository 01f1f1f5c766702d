//! What a fenced lock needs: a table, privileges, and no open transaction.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, OpenTransaction, with_lock};

use crate::support::schema::Database;
use crate::support::server::{self, Admin, count_and_release_locks};
use crate::support::table_checks::{depth, has_open_transaction, log, logged, session};
use crate::support::user::User;

const LOCK: Lock = Lock::new("lock").fenced();

#[track_caller]
fn is_unsupported(result: Result<(), Error>, parts: &[&str]) {
    match result {
        Err(error @ Error::Unsupported { .. }) => {
            let text = error.to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_missing_table_is_an_error_that_says_how_to_create_it() {
    let db = Database::new();
    let mut conn = db.connect();
    let found = session(&mut conn);
    for _ in 0..3 {
        let refused = LOCK.acquire(&mut conn).map(drop);
        is_unsupported(refused, &["diesel_locks_fences", "create_fences", "migration", db.name()]);
        assert_eq!(count_and_release_locks(&mut conn), 0);
        assert_eq!(session(&mut conn), found);
    }
    Lock::create_fences(&mut conn).unwrap();
    Lock::create_fences(&mut conn).unwrap();
    assert_eq!(LOCK.acquire(&mut conn).unwrap().fencing_token(), Some(1));
    let elsewhere = LOCK.in_database("no such database");
    is_unsupported(elsewhere.acquire(&mut conn).map(drop), &["no such database"]);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_missing_privilege_is_an_error_that_names_it() {
    let db = Database::with_fences();
    let table = format!("ON `{}`.`diesel_locks_fences`", db.name());
    let usage = format!("SELECT ON `{}`.`audit_log`", db.name());
    for grant in ["SELECT", "SELECT, INSERT", "SELECT, UPDATE"] {
        let user = User::with_only(&db, &[usage.clone(), format!("{grant} {table}")]);
        let mut conn = user.connect();
        is_unsupported(LOCK.acquire(&mut conn).map(drop), &["grant", "INSERT", "UPDATE"]);
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
    let user = User::with_only(&db, &[usage, format!("SELECT, INSERT, UPDATE {table}")]);
    LOCK.transaction(&mut user.connect(), |_| QueryResult::Ok(())).unwrap();
}

#[test]
fn a_transaction_begun_in_plain_sql_is_refused_and_left_alone() {
    let db = Database::with_fences();
    for setting in ["DO 0", "SET autocommit = 0"] {
        let mut conn = db.connect();
        conn.batch_execute(setting).unwrap();
        let found = session(&mut conn);
        conn.batch_execute("BEGIN").unwrap();
        log(&mut conn, "in the transaction").unwrap();
        let refused = [
            LOCK.acquire(&mut conn).map(drop).unwrap_err(),
            LOCK.try_acquire(&mut conn).map(drop).unwrap_err(),
            LOCK.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap_err(),
            Lock::create_fences(&mut conn).unwrap_err(),
        ];
        for error in refused {
            let before =
                matches!(error, Error::InTransaction { when: OpenTransaction::Before, .. });
            assert!(before, "{error:?}");
        }
        assert!(has_open_transaction(&mut conn));
        assert_eq!(count_and_release_locks(&mut conn), 0);
        assert_eq!(logged(&db), [""; 0]);
        conn.batch_execute("ROLLBACK").unwrap();
        assert_eq!(session(&mut conn), found);
        LOCK.acquire(&mut conn).unwrap().release().unwrap();
    }
}

#[test]
fn a_transaction_of_diesels_is_refused_before_the_lock_is_acquired() {
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.transaction(|conn| {
        log(conn, "kept")?;
        let error = LOCK.acquire(conn).map(drop).unwrap_err();
        let before = matches!(error, Error::InTransaction { when: OpenTransaction::Before, .. });
        assert!(before, "{error:?}");
        QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(logged(&db), ["kept"]);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_test_transaction_is_refused_and_left_intact() {
    #[with_lock("lock", fenced, transaction)]
    fn attribute(_conn: &mut MysqlConnection) -> Result<(), Error> {
        panic!("the body runs")
    }
    let db = Database::with_fences();
    let mut conn = db.connect();
    conn.begin_test_transaction().unwrap();
    log(&mut conn, "in the test").unwrap();
    let errors = [
        LOCK.acquire(&mut conn).map(drop).unwrap_err(),
        LOCK.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap_err(),
        LOCK.with(&mut conn, |_| Ok::<_, Error>(())).unwrap_err(),
        attribute(&mut conn).unwrap_err(),
        Lock::create_fences(&mut conn).unwrap_err(),
    ];
    for error in errors {
        let in_test = matches!(error, Error::InTransaction { when: OpenTransaction::Test, .. });
        assert!(in_test, "{error:?}");
        let text = error.to_string();
        assert!(text.contains("fenced") && text.contains("begin_test_transaction"), "{text}");
    }
    assert_eq!(depth(&mut conn), Some(1));
    assert_eq!(logged(&db), [""; 0]);
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn a_server_wide_lock_needs_a_database_for_its_tokens() {
    let db = Database::with_fences();
    let mut conn = server::connect();
    let refused = Lock::new(db.name()).server_wide().fenced().acquire(&mut conn).map(drop);
    is_unsupported(refused, &["fenced_in"]);
    let lock = Lock::new(db.name()).server_wide();
    let invalid = lock.fenced_in("").acquire(&mut conn).map(drop).unwrap_err();
    assert!(matches!(invalid, Error::InvalidName { .. }), "{invalid:?}");
    assert_eq!(Admin::new().holder(db.name()), None);
    assert_eq!(lock.fenced_in(db.name()).acquire(&mut conn).unwrap().fencing_token(), Some(1));
    let no_database = Lock::create_fences(&mut conn).unwrap_err();
    assert!(matches!(no_database, Error::NoDatabase), "{no_database:?}");
}
