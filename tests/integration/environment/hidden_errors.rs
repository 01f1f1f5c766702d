//! Errors are errors in every character set. In UTF-16 and UTF-32 their messages begin with a zero
//! byte, so that Diesel sees none.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, Server, TableLock};

use super::character_sets::{session, settings};
use crate::support::listings::Listings;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{assert_all_free, depth, log};
use crate::support::user::User;
use crate::support::watchdog;

/// Makes each kind of error.
fn expect_errors(setting: &str, db: &Database) {
    let mut conn = db.connect();
    conn.batch_execute(setting).unwrap();
    let found = session(&mut conn);
    let long = "n".repeat(500);
    let too_long = Lock::new(&long);
    for error in [
        too_long.acquire(&mut conn).map(drop).unwrap_err(),
        too_long.try_acquire(&mut conn).map(drop).unwrap_err(),
        too_long.is_held(&mut conn).unwrap_err(),
        too_long.holder(&mut conn).unwrap_err(),
        too_long.release(&mut conn).unwrap_err(),
        too_long.transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap_err(),
        too_long.timeout(Duration::from_millis(5)).acquire(&mut conn).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidName { .. }), "{setting}: {error:?}");
    }
    let unknown = TableLock::new().write_table("unknown").acquire(&mut conn).map(drop);
    let is_diesels = matches!(unknown, Err(Error::Diesel(DieselError::DatabaseError(..))));
    assert!(is_diesels, "{setting}: {unknown:?}");
    let timeout = TableLock::new().write_table("places").timeout(Duration::from_secs(1));
    let timeout = timeout.acquire(&mut conn).map(drop);
    assert!(matches!(timeout, Err(Error::Timeout { .. })), "{setting}: {timeout:?}");

    conn.batch_execute("BEGIN; INSERT INTO audit_log (message) VALUES ('lost')").unwrap();
    let open = Lock::new("lock").transaction(&mut conn, |_| Ok::<_, Error>(()));
    assert!(matches!(open, Err(Error::InTransaction { .. })), "{setting}: {open:?}");
    let open = TableLock::new().write_table("audit_log").acquire(&mut conn).map(drop);
    assert!(matches!(open, Err(Error::InTransaction { .. })), "{setting}: {open:?}");
    // It was not rolled back; that it was not committed shows in the end.
    let lost = audit_log::table.filter(audit_log::message.eq("lost")).count();
    assert_eq!(lost.get_result::<i64>(&mut conn), Ok(1), "{setting}");
    conn.batch_execute("ROLLBACK").unwrap();

    let ended = TableLock::new().write_table("audit_log").with(&mut conn, |conn| {
        log(conn, "kept")?;
        conn.batch_execute("COMMIT")?;
        log(conn, "rolled back").map(drop).map_err(Error::from)
    });
    assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{setting}: {ended:?}");
    let ended = Lock::new(setting)
        .shortened()
        .transaction(&mut conn, |conn| conn.batch_execute("COMMIT").map_err(Error::from));
    assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{setting}: {ended:?}");
    assert_eq!(session(&mut conn), found, "{setting}");
    assert_eq!((depth(&mut conn), count_and_release_locks(&mut conn)), (Some(0), 0), "{setting}");
}

#[test]
fn errors_are_errors_in_every_character_set() {
    watchdog(|| {
        let db = Database::with_tables();
        let mut other = db.connect();
        let held = TableLock::new().write_table("places").acquire(&mut other).unwrap();
        thread::scope(|threads| {
            for setting in settings() {
                let db = &db;
                threads.spawn(move || expect_errors(&setting, db));
            }
        });
        held.release().unwrap();
        assert_all_free(&db);
        let messages = audit_log::table.select(audit_log::message).distinct();
        assert_eq!(messages.load::<String>(&mut db.connect()).unwrap(), ["kept"]);
    });
}

#[test]
fn a_deadlock_is_an_error_in_every_character_set() {
    watchdog(|| {
        let db = Database::new();
        for setting in settings().iter().filter(|setting| setting.contains("results")) {
            let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
            first.batch_execute(setting).unwrap();
            second.batch_execute(setting).unwrap();
            let id = connection_id(&mut first);
            Lock::new("first").acquire(&mut first).unwrap().leak();
            Lock::new("second").acquire(&mut second).unwrap().leak();
            let wait = |lock: &str, conn: &mut MysqlConnection| {
                let ended = Lock::new(lock).without_timeout().acquire(conn).map(drop);
                assert_eq!(count_and_release_locks(conn), 1, "{setting}");
                ended
            };
            let (one, two) = thread::scope(|threads| {
                let waiting = threads.spawn(|| wait("second", &mut first));
                admin.until_waiting(id);
                let two = wait("first", &mut second);
                (waiting.join().unwrap(), two)
            });
            let is_deadlock =
                |ended: &Result<(), Error>| matches!(ended, Err(Error::Deadlock { .. }));
            assert!(is_deadlock(&one) != is_deadlock(&two), "{setting}: {one:?}, {two:?}");
            assert!(one.is_ok() != two.is_ok(), "{setting}: {one:?}, {two:?}");
        }
    });
}

#[test]
fn a_killed_wait_is_an_interruption_in_every_character_set() {
    watchdog(|| {
        let db = Database::new();
        let (mut holder, mut admin) = (db.connect(), Admin::new());
        let _held = Lock::new("lock").acquire(&mut holder).unwrap();
        for setting in settings().iter().filter(|setting| setting.contains("results")) {
            let mut conn = db.connect();
            conn.batch_execute(setting).unwrap();
            let id = connection_id(&mut conn);
            for _ in 0..3 {
                let killed = thread::scope(|threads| {
                    let wait = threads.spawn(|| Lock::new("lock").acquire(&mut conn).map(drop));
                    admin.until_waiting(id);
                    admin.kill_query(id);
                    wait.join().unwrap()
                });
                assert!(matches!(killed, Err(Error::Interrupted { .. })), "{setting}: {killed:?}");
            }
            Lock::new("free").acquire(&mut conn).unwrap().release().unwrap();
        }
    });
}

#[test]
fn a_user_without_privileges_inspects_in_every_character_set() {
    let _listings = Listings::with_plugin();
    let db = Database::with_tables();
    let user = User::new(&db, &[]);
    let plain = format!("{:?}", Server::inspect(&mut user.connect()).unwrap());
    for setting in settings() {
        let mut conn = user.connect();
        conn.batch_execute(&setting).unwrap();
        for _ in 0..2 {
            let seen = format!("{:?}", Server::inspect(&mut conn).unwrap());
            assert_eq!(seen, plain, "{setting}");
            let held = Lock::new("lock").acquire(&mut conn).unwrap();
            let holder = Lock::new("lock").holder(&mut db.connect()).unwrap();
            assert!(holder.is_some(), "{setting}");
            held.release().unwrap();
        }
        let inside = TableLock::new().write_table("places").with(&mut conn, Server::inspect);
        inside.unwrap_or_else(|error| panic!("{setting}: {error:?}"));
    }
}

#[test]
fn a_table_lock_leaves_the_character_sets_that_its_body_has_set() {
    let db = Database::with_tables();
    let lock = TableLock::new().write_table("audit_log").timeout(Duration::from_secs(9));
    for setting in settings() {
        let (mut conn, mut plain) = (db.connect(), db.connect());
        plain.batch_execute(&setting).unwrap();
        let expected = session(&mut plain);
        lock.with(&mut conn, |conn| conn.batch_execute(&setting)).unwrap();
        assert_eq!(session(&mut conn), expected, "{setting}");

        let mut conn = db.connect();
        Lock::new("lock").transaction(&mut conn, |conn| conn.batch_execute(&setting)).unwrap();
        assert_eq!(session(&mut conn), expected, "{setting}");
        // Changed again, in a body that fails after it has ended the transaction.
        let failed = lock.with(&mut conn, |conn| {
            conn.batch_execute("SET NAMES utf8mb4; COMMIT")?;
            Err::<(), _>(DieselError::NotFound)
        });
        assert_eq!(failed, Err(DieselError::NotFound), "{setting}");
        assert!(session(&mut conn).starts_with("utf8mb4|utf8mb4|utf8mb4|"), "{setting}");
    }
}
