//! How long a table lock waits.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, TableLock};

use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::{Customer, Place, Restaurant, session};

fn wait(lock: &TableLock, conn: &mut MysqlConnection) -> (Duration, Error) {
    let started = Instant::now();
    let error = lock.acquire(conn).map(drop).unwrap_err();
    (started.elapsed(), error)
}

#[test]
fn a_timeout_is_rounded_up_and_reported_as_applied() {
    let db = Database::with_tables();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    let lock = TableLock::new().read::<Customer>().write::<Restaurant>();
    for (millis, applied) in [(0, 1), (1_200, 2)] {
        let (waited, error) = wait(&lock.clone().timeout(Duration::from_millis(millis)), &mut conn);
        let Error::Timeout { lock: tables, timeout, holder, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(tables, "`customers` READ, `restaurants` WRITE, `places` WRITE");
        assert_eq!((*timeout, *holder), (Duration::from_secs(applied), None));
        let text = error.to_string();
        assert!(text.contains("waiting for `customers` READ"), "{text}");
        assert!(text.contains("TableLock::blockers"), "{text}");
        let applied = Duration::from_secs(applied);
        assert!(waited >= applied && waited < applied + Duration::from_secs(5), "{waited:?}");
    }
}

#[test]
fn without_a_timeout_the_sessions_own_applies() {
    let db = Database::with_tables();
    let (mut conn, mut holder) = (db.connect(), db.connect());
    let _held = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    conn.batch_execute("SET lock_wait_timeout = 1").unwrap();
    let (_, error) = wait(&TableLock::new().write::<Place>(), &mut conn);
    assert!(
        matches!(error, Error::Timeout { timeout, .. } if timeout == Duration::from_secs(1)),
        "{error:?}"
    );
}

#[test]
fn the_longest_timeout_is_the_servers_maximum() {
    let db = Database::with_tables();
    let (mut conn, mut holder, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    // Otherwise the server itself would substitute its largest value, with a warning.
    conn.batch_execute("SET sql_mode = 'STRICT_ALL_TABLES'").unwrap();
    let lock = TableLock::new().write::<Place>().timeout(Duration::MAX);
    let guard = TableLock::new().write::<Place>().acquire(&mut holder).unwrap();
    thread::scope(|threads| {
        let (acquired, seen) = mpsc::channel();
        let waiting = threads.spawn(move || {
            let mut guard = lock.acquire(&mut conn).unwrap();
            acquired.send(session(&mut guard).lock_wait_timeout).unwrap();
        });
        admin.until_waiting(id);
        guard.release().unwrap();
        assert_eq!(seen.recv().unwrap(), 31_536_000);
        waiting.join().unwrap();
    });
}

#[test]
fn a_timeout_holds_while_another_transaction_has_checked_a_foreign_key() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    other
        .batch_execute(
            "CREATE TABLE menus (place_id INT, FOREIGN KEY (place_id) REFERENCES places (id)) \
             ENGINE = InnoDB; INSERT INTO places VALUES (1, 'one'); \
             BEGIN; INSERT INTO menus VALUES (1)",
        )
        .unwrap();
    // MariaDB then waits for a lock of InnoDB, to which `lock_wait_timeout` does not apply.
    conn.batch_execute("SET innodb_lock_wait_timeout = 20").unwrap();
    let started = Instant::now();
    let lock = TableLock::new().write::<Restaurant>().timeout(Duration::from_secs(1));
    let found = session(&mut conn);
    let error = lock.acquire(&mut conn).map(drop).unwrap_err();
    assert_eq!(session(&mut conn), found);
    assert!(
        matches!(error, Error::Timeout { timeout, .. } if timeout == Duration::from_secs(1)),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}
