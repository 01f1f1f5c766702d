//! The round trips of each call of a table lock, counted on the wire.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, TableLock};

use crate::support::proxy::Proxy;
use crate::support::schema::{Database, audit_log};
use crate::support::server;
use crate::support::table_checks::all_tables;

const ACQUIRE: usize = 3;
const RELEASE: usize = 3;

fn many_tables(db: &Database, count: usize) -> TableLock {
    let mut lock = TableLock::new();
    for i in 0..count {
        db.connect().batch_execute(&format!("CREATE TABLE many_{i} (id INT)")).unwrap();
        lock = lock.write_table(format!("many_{i}"));
    }
    lock
}

#[test]
fn a_table_lock_costs_three_round_trips_and_its_release_three_however_many_tables() {
    let (db, proxy) = (Database::with_tables(), Proxy::new());
    let mut conn = db.connect_through(&proxy);
    let one = TableLock::new().write::<audit_log::table>();
    let with_timeout = all_tables().timeout(Duration::from_secs(5));
    for lock in [one, all_tables(), with_timeout, many_tables(&db, 60)] {
        let mut guard = None;
        proxy.expect("acquire", ACQUIRE, || guard = Some(lock.acquire(&mut conn).unwrap()));
        let guard = guard.unwrap();
        proxy.expect("release", RELEASE, || {
            guard.release().unwrap();
        });
        let guard = lock.acquire(&mut conn).unwrap();
        proxy.expect("rollback", RELEASE, || {
            guard.rollback().unwrap();
        });
        let guard = lock.acquire(&mut conn).unwrap();
        proxy.expect("drop", RELEASE, || drop(guard));
        proxy.expect("with", ACQUIRE + RELEASE, || {
            lock.with(&mut conn, |_| Ok::<_, Error>(())).unwrap();
        });
        let boxed = Box::new(db.connect_through(&proxy));
        let mut guard = None;
        proxy.expect("acquire_owned", ACQUIRE, || guard = Some(lock.acquire_owned(boxed).unwrap()));
        let guard = guard.unwrap();
        proxy.expect("release of an owned guard", RELEASE, || {
            guard.release().unwrap();
        });
    }
}

#[test]
fn tables_are_locked_by_one_batch_that_begins_the_transaction() {
    let (db, proxy) = (Database::with_tables(), Proxy::new());
    let mut conn = db.connect_through(&proxy);
    let lock = all_tables();
    let requests = proxy.record(|| {
        lock.acquire(&mut conn).unwrap().release().unwrap();
    });
    let batches: Vec<_> = requests.iter().filter(|request| request.starts_with("query")).collect();
    let [begin, end] = batches[..] else { panic!("{requests:#?}") };
    let begin: Vec<_> = begin.split("; ").collect();
    let [batch, session, lock_tables, savepoint, put_back] = begin[..] else {
        panic!("{begin:#?}")
    };
    assert!(batch.starts_with("query: SET @"), "{batch}");
    for changed in
        ["wait_timeout = 5", "character_set_results = NULL", "character_set_client = utf8mb4"]
    {
        assert!(batch.contains(&format!(", {changed}")), "{batch}");
    }
    // In the one statement that changes the session, an open transaction is refused first.
    let refusal =
        if server::is_mysql() { "@@transaction_read_only = " } else { "@@in_transaction" };
    assert!(session.starts_with("SET ") && session.contains(refusal), "{session}");
    let [refused, changed] = [", autocommit = IF(", ", innodb_table_locks = 1, "]
        .map(|assignment| session.find(assignment).expect(assignment));
    assert!(refused < changed, "{session}");
    assert_eq!(lock_tables, lock.to_string());
    assert!(savepoint.starts_with("SAVEPOINT diesel_locks_"), "{savepoint}");
    assert!(put_back.starts_with("SET wait_timeout = "), "{put_back}");
    assert!(put_back.contains(", character_set_client = "), "{put_back}");
    assert!(!put_back.contains("autocommit"), "{put_back}");

    let end: Vec<_> = end.split("; ").collect();
    let [batch, release, commit, unlock, put_back] = end[..] else { panic!("{end:#?}") };
    assert!(batch.starts_with("query: SET @") && batch.contains(", wait_timeout = 5"), "{batch}");
    assert_eq!(release, format!("RELEASE {savepoint}"));
    assert_eq!((commit, unlock), ("COMMIT AND NO CHAIN NO RELEASE", "UNLOCK TABLES"));
    assert!(put_back.starts_with("SET autocommit = "), "{put_back}");
    assert!(put_back.contains(", wait_timeout = "), "{put_back}");
}

#[test]
fn a_transaction_known_to_diesel_is_refused_without_a_round_trip() {
    let (db, proxy) = (Database::with_tables(), Proxy::new());
    let mut conn = db.connect_through(&proxy);
    conn.transaction(|conn| {
        proxy.expect("acquire inside a transaction", 0, || {
            assert!(matches!(all_tables().acquire(conn), Err(Error::InTransaction { .. })));
        });
        QueryResult::Ok(())
    })
    .unwrap();
}

#[test]
fn a_lock_displays_the_statement_that_is_sent_once() {
    let (db, proxy) = (Database::with_tables(), Proxy::new());
    let mut conn = db.connect_through(&proxy);
    let lock = TableLock::new().write::<audit_log::table>().read_as::<audit_log::table>("a`b");
    let requests = proxy.record(|| drop(lock.acquire(&mut conn).unwrap()));
    let sent = requests.iter().filter(|request| request.contains("LOCK TABLES `")).count();
    assert_eq!(sent, 1, "{requests:#?}");
    assert!(requests.iter().any(|request| request.contains(&lock.to_string())), "{requests:#?}");
}
