//! Names of tables, and names that are refused before anything is sent.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, TableLock};

use crate::support::proxy::Proxy;
use crate::support::schema::{Database, audit_log};
use crate::support::server;
use crate::support::table_checks::{
    SESSIONS, assert_all_free, depth, has_locked_tables, has_open_transaction, is_writable, session,
};

mod odd {
    diesel::table! {
        #[sql_name = "od`d na.me;"]
        table_name (id) { id -> Integer, }
    }
}

const ODD_NAMES: [&str; 13] = [
    "a.b",
    "a b",
    " leading",
    "`",
    "back`tick",
    "x`; DROP TABLE audit_log; --",
    "it's",
    "\"double\"",
    "back\\slash",
    "%s ? {}",
    "größe",
    "表_таблица",
    "select",
];

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[test]
fn any_character_of_a_name_reaches_the_server_unchanged() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    for name in ODD_NAMES {
        conn.batch_execute(&format!("CREATE TABLE {} (id INT)", quoted(name))).unwrap();
    }
    for sql_mode in ["@@sql_mode", "'ANSI'", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"] {
        conn.batch_execute(&format!("SET sql_mode = {sql_mode}")).unwrap();
        for name in ODD_NAMES {
            for lock in [
                TableLock::new().write_table(name),
                TableLock::new().write_table((db.name(), name)),
            ] {
                let mut guard = lock.acquire(&mut conn).unwrap();
                guard
                    .batch_execute(&format!("INSERT INTO {} VALUES (1)", quoted(name)))
                    .unwrap_or_else(|error| panic!("{name:?}: {error}"));
                assert!(audit_log::table.count().get_result::<i64>(&mut *guard).is_err());
                guard.rollback().unwrap();
            }
            let alias = TableLock::new().read_as::<audit_log::table>(name);
            let mut guard = alias.acquire(&mut conn).unwrap();
            guard
                .batch_execute(&format!("SELECT COUNT(*) FROM audit_log AS {}", quoted(name)))
                .unwrap_or_else(|error| panic!("alias {name:?}: {error}"));
            guard.release().unwrap();
        }
    }
    assert_all_free(&db);
}

#[test]
fn a_table_is_locked_under_its_name_in_sql() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("CREATE TABLE `od``d na.me;` (id INT)").unwrap();
    let mut guard = TableLock::new().write::<odd::table_name::table>().acquire(&mut conn).unwrap();
    diesel::insert_into(odd::table_name::table)
        .values(odd::table_name::id.eq(1))
        .execute(&mut *guard)
        .unwrap();
    assert!(!is_writable(&db, "od``d na.me;"));
    guard.release().unwrap();
}

#[test]
fn a_name_that_the_server_would_not_refuse_clearly_is_refused_before_anything_is_sent() {
    let db = Database::with_tables();
    let proxy = Proxy::new();
    let mut conn = db.connect_through(&proxy);
    let new = TableLock::new;
    for name in ["", "nul\0", "\0", "\u{1f512}", "audit_log\u{1f512}"] {
        let locks = [
            new().read_table(name),
            new().write_table(name),
            new().write_table((db.name(), name)),
            new().read_as::<audit_log::table>(name),
            new().write_table("audit_log").read_table(name).write_table("customers"),
        ];
        for lock in locks {
            let mut refused = None;
            proxy.expect("a refused name", 0, || {
                refused = lock.acquire(&mut conn).map(drop).err();
            });
            let refused = refused.unwrap();
            assert!(
                matches!(&refused, Error::InvalidName { name: refused, .. } if *refused == name),
                "{refused:?}"
            );
            assert!(refused.to_string().contains(": it "), "{refused}");
        }
    }
}

#[test]
fn a_database_with_such_a_name_is_refused_with_that_name() {
    let db = Database::new();
    let mut conn = db.connect();
    for name in ["", "nul\0", "\u{1f512}"] {
        let lock = TableLock::new().write_table((name, "audit_log"));
        let refused = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert!(
            matches!(&refused, Error::InvalidName { name: refused, .. } if *refused == name),
            "{refused:?}"
        );
    }
}

/// Expects that the acquire fails, locks nothing and leaves each kind of session as it was.
fn failed(db: &Database, lock: &TableLock) -> Error {
    let mut last = None;
    for settings in SESSIONS {
        let mut conn = db.connect();
        conn.batch_execute(settings).unwrap();
        let found = session(&mut conn);
        let error = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert_eq!(session(&mut conn), found, "{error}");
        assert_eq!(depth(&mut conn), Some(0), "{error}");
        assert!(!has_open_transaction(&mut conn), "{error}");
        assert!(!has_locked_tables(&mut conn), "{error}");
        assert_all_free(db);
        last = Some(error);
    }
    last.unwrap()
}

#[test]
fn a_name_that_is_too_long_is_an_invalid_name() {
    let db = Database::with_tables();
    let long = "x".repeat(65);
    for lock in [
        TableLock::new().write_table("audit_log").read_table(long.as_str()),
        TableLock::new().write_table("audit_log").write_table((db.name(), long.as_str())),
    ] {
        let error = failed(&db, &lock);
        assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
        assert!(error.to_string().contains(&long), "{error}");
    }
    // A name of 64 characters is not too long.
    let longest = TableLock::new().read_table("x".repeat(64));
    let error = failed(&db, &longest);
    assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
}

#[test]
fn a_name_that_ends_in_a_space_is_an_invalid_name() {
    let db = Database::with_tables();
    let error = failed(&db, &TableLock::new().write_table("audit_log").read_table("space "));
    assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
}

#[test]
fn an_unknown_table_or_database_is_diesels_error() {
    let db = Database::with_tables();
    for lock in [
        TableLock::new().write_table("audit_log").read_table("unknown").write_table("customers"),
        TableLock::new().write_table("audit_log").read_table(("unknown", "t")),
        // A dot is part of the name.
        TableLock::new().write_table("audit_log").read_table(format!("{}.customers", db.name())),
    ] {
        let error = failed(&db, &lock);
        assert!(matches!(error, Error::Diesel(DieselError::DatabaseError(..))), "{error:?}");
    }
}

#[test]
fn a_table_needs_its_own_database_or_the_connections() {
    let db = Database::with_tables();
    let mut conn = server::connect();
    let found = session(&mut conn);
    let error = TableLock::new().write::<audit_log::table>().acquire(&mut conn).map(drop);
    assert!(matches!(error, Err(Error::NoDatabase)), "{error:?}");
    assert_eq!(session(&mut conn), found);

    let lock = TableLock::new().write_table((db.name(), "audit_log"));
    let guard = lock.acquire(&mut conn).unwrap();
    assert!(!is_writable(&db, "audit_log"));
    guard.release().unwrap();
    assert_all_free(&db);
}

#[test]
fn tables_of_two_databases_can_be_locked_at_once() {
    let (here, there) = (Database::with_tables(), Database::with_tables());
    let mut conn = here.connect();
    let lock = TableLock::new().write_table("audit_log").read_table((there.name(), "audit_log"));
    let guard = lock.acquire(&mut conn).unwrap();
    for db in [&here, &there] {
        assert!(!is_writable(db, "audit_log"));
        assert!(is_writable(db, "customers"));
    }
    guard.release().unwrap();
    assert_all_free(&here);
    assert_all_free(&there);
}

#[test]
fn a_lock_without_tables_is_refused_before_anything_is_sent() {
    let db = Database::new();
    let proxy = Proxy::new();
    let mut conn = db.connect_through(&proxy);
    proxy.expect("no tables", 0, || {
        let refused = TableLock::new().acquire(&mut conn).map(drop);
        assert!(matches!(refused, Err(Error::NoTables)), "{refused:?}");
    });
    let refused = TableLock::default()
        .with(&mut conn, |_| -> Result<(), Error> { panic!("runs without a lock") });
    assert!(matches!(refused, Err(Error::NoTables)), "{refused:?}");
}

#[test]
fn errors_are_recognized_in_every_language() {
    let db = Database::with_tables();
    let (mut conn, mut holder, mut bare) = (db.connect(), db.connect(), server::connect());
    let lock = TableLock::new().write::<audit_log::table>().timeout(std::time::Duration::ZERO);
    let _held = lock.acquire(&mut holder).unwrap();
    for language in ["de_DE", "ja_JP", "ru_RU"] {
        let set = format!("SET lc_messages = '{language}'");
        conn.batch_execute(&set).unwrap();
        bare.batch_execute(&set).unwrap();
        let busy = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert!(matches!(busy, Error::Timeout { .. }), "{language}: {busy:?}");
        let without_database = lock.acquire(&mut bare).map(drop).unwrap_err();
        assert!(matches!(without_database, Error::NoDatabase), "{language}: {without_database:?}");
        let long = TableLock::new().read_table("x".repeat(65)).acquire(&mut conn).map(drop);
        assert!(matches!(long, Err(Error::InvalidName { .. })), "{language}: {long:?}");
        conn.batch_execute("BEGIN").unwrap();
        let open = lock.acquire(&mut conn).map(drop).unwrap_err();
        assert!(matches!(open, Error::InTransaction { .. }), "{language}: {open:?}");
        conn.batch_execute("ROLLBACK").unwrap();
    }
}
