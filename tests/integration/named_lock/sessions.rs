//! Sessions with unusual settings: named locks work the same in each.

use std::time::Duration;

use diesel::connection::{CacheSize, Connection, SimpleConnection};
use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};

const LOCK: Lock = Lock::new("lock");

/// Makes each kind of call, on a free lock and on a busy one.
#[track_caller]
fn expect_all_calls_to_work(setting: &str, conn: &mut MysqlConnection, db: &Database) {
    let (mut other, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(conn);
    let name = db.full_name("lock");
    for lock in [LOCK, LOCK.timeout(Duration::from_millis(9_500)), LOCK.shortened()] {
        let mut guard = lock.acquire(conn).unwrap_or_else(|error| panic!("{setting}: {error:?}"));
        assert_eq!(admin.holder(&name), Some(id), "{setting}");
        assert!(lock.is_held(&mut guard).unwrap(), "{setting}");
        assert!(guard.is_still_held().unwrap(), "{setting}");
        guard.release().unwrap();
        assert_eq!(admin.holder(&name), None, "{setting}");

        let held = lock.acquire(&mut other).unwrap();
        assert!(lock.try_acquire(conn).unwrap().is_none(), "{setting}");
        let soon = lock.timeout(Duration::from_millis(5)).acquire(conn).map(drop);
        assert!(matches!(soon, Err(Error::Timeout { .. })), "{setting}: {soon:?}");
        assert!(matches!(lock.release(conn), Err(Error::NotHeld { .. })), "{setting}");
        held.release().unwrap();
    }
    LOCK.with(conn, |_| Ok::<_, Error>(())).unwrap();
    let invalid = Lock::new(&"n".repeat(500)).acquire(conn).map(drop);
    assert!(matches!(invalid, Err(Error::InvalidName { .. })), "{setting}: {invalid:?}");
    assert_eq!(count_and_release_locks(conn), 0, "{setting}");
}

fn with_each(settings: &[&str]) {
    let db = Database::new();
    for setting in settings {
        let mut conn = db.connect();
        conn.batch_execute(&format!("SET {setting}")).unwrap();
        expect_all_calls_to_work(setting, &mut conn, &db);
    }
}

#[test]
fn named_locks_work_in_every_mode_and_language() {
    with_each(&[
        "sql_mode = ''",
        "sql_mode = 'ANSI'",
        "sql_mode = 'TRADITIONAL'",
        "sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE,HIGH_NOT_PRECEDENCE'",
        "lc_messages = ja_JP",
        "autocommit = 0",
        "sql_safe_updates = 1, sql_auto_is_null = 1",
        "SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
        "SESSION TRANSACTION READ ONLY",
        "max_join_size = 1, sql_big_selects = 0",
        "time_zone = '+05:30'",
    ]);
    if !server::is_mysql() {
        with_each(&["sql_mode = 'ORACLE'", "sql_mode = 'MSSQL'"]);
    }
}

#[test]
fn named_locks_work_whatever_the_character_set_and_collation_of_the_session() {
    with_each(&[
        "NAMES utf8mb4 COLLATE utf8mb4_bin",
        "NAMES latin1",
        "character_set_connection = latin1",
        "collation_connection = utf8mb4_unicode_ci",
        "character_set_results = NULL",
        "collation_server = 'latin1_swedish_ci'",
    ]);
}

#[test]
fn a_session_that_returns_few_rows_acquires_the_lock_or_refuses() {
    let db = Database::new();
    for rows in [0, 1] {
        let mut conn = db.connect();
        LOCK.acquire(&mut conn).unwrap().release().unwrap();
        conn.batch_execute(&format!("SET sql_select_limit = {rows}")).unwrap();
        let taken = LOCK.acquire(&mut conn).map(|guard| guard.release().map(drop));
        assert!(matches!(taken, Ok(Ok(())) | Err(_)), "{rows} rows: {taken:?}");
        conn.batch_execute("SET sql_select_limit = DEFAULT").unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn named_locks_work_without_a_cache_of_statements() {
    let db = Database::new();
    let mut conn = db.connect();
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    expect_all_calls_to_work("no cache", &mut conn, &db);
}

#[test]
fn a_transaction_works_in_every_mode() {
    let db = Database::with_tables();
    let mut modes = vec!["", "ANSI", "TRADITIONAL"];
    if !server::is_mysql() {
        modes.push("ORACLE");
    }
    for mode in modes {
        let mut conn = db.connect();
        conn.batch_execute(&format!("SET sql_mode = '{mode}'")).unwrap();
        LOCK.transaction(&mut conn, |conn| {
            diesel::insert_into(audit_log::table).values(audit_log::message.eq("row")).execute(conn)
        })
        .unwrap_or_else(|error| panic!("{mode}: {error:?}"));
    }
}
