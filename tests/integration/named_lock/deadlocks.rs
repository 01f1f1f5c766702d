//! Deadlocks of named locks.

use std::thread;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::watchdog;

const FIRST: Lock = Lock::new("first").without_timeout();
const SECOND: Lock = Lock::new("second").without_timeout();

/// Lets two connections that each hold a lock wait for the other's. Exactly one gets an error, and
/// it keeps the lock that it holds until it releases it.
fn deadlock(first: &mut MysqlConnection, second: &mut MysqlConnection, admin: &mut Admin) {
    fn wait(lock: Lock<'_>, conn: &mut MysqlConnection) -> bool {
        let deadlocked = match lock.acquire(conn).map(drop) {
            Ok(()) => false,
            Err(Error::Deadlock { lock, .. }) => {
                assert!(lock.contains("first") || lock.contains("second"), "{lock}");
                true
            }
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(count_and_release_locks(conn), 1);
        deadlocked
    }
    FIRST.acquire(first).unwrap().leak();
    SECOND.acquire(second).unwrap().leak();
    let first_id = connection_id(first);
    let (first, second) = thread::scope(|threads| {
        let waiting = threads.spawn(|| wait(SECOND, first));
        admin.until_waiting(first_id);
        let second = wait(FIRST, second);
        (waiting.join().unwrap(), second)
    });
    assert!(first != second, "both or neither: {first}");
}

#[test]
fn a_deadlock_fails_one_of_the_two_and_both_can_repeat_the_statement() {
    watchdog(|| {
        let db = Database::new();
        let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
        for _ in 0..5 {
            deadlock(&mut first, &mut second, &mut admin);
            for conn in [&mut first, &mut second] {
                assert!(FIRST.acquire(conn).unwrap().is_still_held().unwrap());
                assert!(SECOND.try_acquire(conn).unwrap().is_some());
                assert!(!FIRST.is_held(conn).unwrap());
            }
        }
    });
}

#[test]
fn a_deadlock_is_recognized_in_every_language() {
    watchdog(|| {
        let db = Database::new();
        let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
        for language in ["de_DE", "ja_JP", "ru_RU"] {
            for conn in [&mut first, &mut second] {
                conn.batch_execute(&format!("SET lc_messages = {language}")).unwrap();
            }
            deadlock(&mut first, &mut second, &mut admin);
        }
    });
}

/// If the server keeps no conditions, there is no error number to classify by.
#[test]
fn without_error_numbers_a_deadlock_is_still_an_error_and_nothing_is_left_held() {
    watchdog(|| {
        let db = Database::new();
        let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
        let first_id = connection_id(&mut first);
        for conn in [&mut first, &mut second] {
            conn.batch_execute("SET max_error_count = 0").unwrap();
        }
        for _ in 0..3 {
            FIRST.acquire(&mut first).unwrap().leak();
            SECOND.acquire(&mut second).unwrap().leak();
            let wait = |lock: Lock<'static>, conn: &mut MysqlConnection| {
                let failed = lock.acquire(conn).map(drop).is_err();
                assert_eq!(count_and_release_locks(conn), 1);
                failed
            };
            thread::scope(|threads| {
                let waiting = threads.spawn(|| wait(SECOND, &mut first));
                admin.until_waiting(first_id);
                let second = wait(FIRST, &mut second);
                assert!(second != waiting.join().unwrap());
            });
        }
    });
}

#[test]
fn a_deadlock_commits_nothing_of_an_open_transaction() {
    watchdog(|| {
        let db = Database::with_tables();
        let (mut first, mut second, mut admin) = (db.connect(), db.connect(), Admin::new());
        for conn in [&mut first, &mut second] {
            conn.batch_execute("BEGIN; INSERT INTO audit_log (message) VALUES ('before')").unwrap();
        }
        deadlock(&mut first, &mut second, &mut admin);
        let rows = audit_log::table.count().get_result::<i64>(&mut db.connect()).unwrap();
        assert_eq!(rows, 0);
        for conn in [&mut first, &mut second] {
            conn.batch_execute("ROLLBACK").unwrap();
            assert_eq!(audit_log::table.count().get_result::<i64>(conn).unwrap(), 0);
        }
    });
}
