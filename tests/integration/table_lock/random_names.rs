//! Random table names: each is used unchanged, or refused.

use std::cell::RefCell;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, TableLock};
use proptest::prelude::*;

use crate::support::schema::{Database, audit_log, places};
use crate::support::table_checks::assert_all_free;

use crate::support::random_names::{any_character, character, name, runner};

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c| c == '\0' || c > '\u{ffff}')
}

/// Acquires the lock and runs the statement under it. No other table can be used then.
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
fn any_table_name_is_used_unchanged_or_refused() {
    let db = Database::with_tables();
    let conn = RefCell::new(db.connect());
    // The server encodes a character like these in five bytes of a file name, which may have 255.
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
