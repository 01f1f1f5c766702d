//! Any name at all is taken as it is, or refused.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, TableLock};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::schema::{Database, audit_log, places};
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::assert_all_free;

fn name(characters: impl Strategy<Value = char>, most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(characters, 0..most).prop_map(String::from_iter)
}

/// Characters as text has them, and now and then any other.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        8 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec!['`', '\'', '"', '\\', '.', '%', '?', '\n', '\t', ' ']),
        4 => prop::char::range('\u{80}', '\u{d7ff}'),
        1 => prop::char::range('\u{1}', '\u{1f}'),
    ]
}

fn any_character() -> impl Strategy<Value = char> {
    prop_oneof![20 => character(), 1 => any::<char>(), 1 => Just('\0'), 1 => Just('\u{1f512}')]
}

fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 128, failure_persistence: None, ..Config::default() })
}

/// Whether the server takes a full name of a lock.
fn is_lock_name(name: &str, full_name: &str) -> bool {
    let fits = if server::is_mysql() {
        full_name.chars().count() <= 64 && full_name.chars().all(|c| c <= '\u{ffff}')
    } else {
        full_name.len() <= 192
    };
    fits && !name.is_empty() && !name.contains('\0')
}

#[test]
fn any_name_of_a_lock_is_taken_as_it_is_or_refused() {
    let db = Database::new();
    let mut conn = db.connect();
    let id = connection_id(&mut conn);
    let (conn, admin) = (RefCell::new(conn), RefCell::new(Admin::new()));
    let names = prop_oneof![3 => name(character(), 60), 1 => name(any_character(), 110)];
    runner()
        .run(&names, |name| {
            let (conn, admin) = (&mut *conn.borrow_mut(), &mut *admin.borrow_mut());
            let full_name = db.full_name(&name);
            match Lock::new(&name).acquire(conn) {
                Ok(mut guard) => {
                    prop_assert!(is_lock_name(&name, &full_name));
                    prop_assert_eq!(admin.holder(&full_name), Some(id));
                    prop_assert!(guard.is_still_held().unwrap());
                    guard.release().unwrap();
                    prop_assert_eq!(admin.holder(&full_name), None);
                }
                Err(error) => {
                    prop_assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
                    prop_assert!(!is_lock_name(&name, &full_name));
                }
            }
            prop_assert_eq!(count_and_release_locks(conn), 0);
            Ok(())
        })
        .unwrap();
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c| c == '\0' || c > '\u{ffff}')
}

/// Locks as described, and runs the statement under the lock, which lets it use nothing else.
fn use_alone(
    conn: &mut MysqlConnection,
    lock: &TableLock,
    statement: &str,
) -> Result<(), TestCaseError> {
    let mut guard = lock.acquire(conn).unwrap();
    prop_assert!(guard.batch_execute(statement).is_ok(), "{}", statement);
    prop_assert!(places::table.count().get_result::<i64>(&mut *guard).is_err());
    guard.release().unwrap();
    Ok(())
}

fn expect_refused(conn: &mut MysqlConnection, lock: &TableLock) -> Result<(), TestCaseError> {
    let refused = lock.acquire(conn).map(drop);
    let expected = matches!(refused, Err(Error::InvalidName { .. } | Error::Diesel(_)));
    prop_assert!(expected, "{refused:?}");
    Ok(())
}

#[test]
fn any_name_of_a_table_is_locked_as_it_is_or_refused() {
    let db = Database::with_tables();
    let conn = RefCell::new(db.connect());
    // The server needs five bytes of a file's name for a character like these, and has 255.
    let names = prop_oneof![3 => name(character(), 40), 1 => name(any_character(), 40)];
    runner()
        .run(&names, |name| {
            let conn = &mut *conn.borrow_mut();
            let quoted = format!("`{}`", name.replace('`', "``"));
            let lock = TableLock::new().write_table(name.as_str());
            // Names that end in white space are refused by some servers.
            let create = format!("CREATE TABLE {quoted} (id INT)");
            if is_identifier(&name) && conn.batch_execute(&create).is_ok() {
                use_alone(conn, &lock, &format!("INSERT INTO {quoted} VALUES (1)"))?;
                conn.batch_execute(&format!("DROP TABLE {quoted}")).unwrap();
            } else {
                expect_refused(conn, &lock)?;
            }
            let lock = TableLock::new().read_as::<audit_log::table>(&name);
            if is_identifier(&name) {
                use_alone(conn, &lock, &format!("SELECT COUNT(*) FROM audit_log AS {quoted}"))
            } else {
                expect_refused(conn, &lock)
            }
        })
        .unwrap();
    assert_all_free(&db);
}
