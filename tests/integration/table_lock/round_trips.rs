//! The round trips of each call of a table lock, counted on the wire.

use std::collections::HashSet;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock, TableLock};

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

/// Returns the batches that a lock and its release send, as statements.
fn batches(lock: &TableLock, db: &Database) -> [Vec<String>; 2] {
    let proxy = Proxy::new();
    let mut conn = db.connect_through(&proxy);
    let requests = proxy.record(|| {
        lock.acquire(&mut conn).unwrap().release().unwrap();
    });
    let batches = requests.iter().filter_map(|request| request.strip_prefix("query: "));
    let batches: Vec<Vec<_>> =
        batches.map(|batch| batch.split("; ").map(str::to_owned).collect()).collect();
    batches.try_into().unwrap_or_else(|_| panic!("{requests:#?}"))
}

#[test]
fn tables_are_locked_by_one_batch_that_begins_the_transaction() {
    let db = Database::with_tables();
    let lock = all_tables();
    let [begin, end] = batches(&lock, &db);
    let [batch, session, lock_tables, savepoint, put_back] = &begin[..] else {
        panic!("{begin:#?}")
    };
    assert!(batch.starts_with("SET @"), "{batch}");
    for changed in ["wait_timeout = 5", "character_set_results = NULL"] {
        assert!(batch.contains(&format!(", {changed}")), "{batch}");
    }
    // In the one statement that changes the session, an open transaction is refused first.
    let refusal =
        if server::is_mysql() { "@@transaction_read_only = " } else { "@@in_transaction" };
    assert!(
        session.starts_with("SET autocommit = 2 * (") && session.contains(refusal),
        "{session}"
    );
    let [refused, changed] = [refusal, ", innodb_table_locks = 1, "]
        .map(|assignment| session.find(assignment).expect(assignment));
    assert!(refused < changed, "{session}");
    assert_eq!(*lock_tables, lock.to_string());
    assert!(savepoint.starts_with("SAVEPOINT diesel_locks_"), "{savepoint}");
    assert!(put_back.starts_with("SET wait_timeout = "), "{put_back}");
    assert!(!put_back.contains("autocommit"), "{put_back}");

    let [batch, release, unlock, put_back] = &end[..] else { panic!("{end:#?}") };
    assert!(batch.starts_with("SET @") && batch.contains(", wait_timeout = 5"), "{batch}");
    assert_eq!(*release, format!("RELEASE {savepoint}"));
    assert_eq!(unlock, "UNLOCK TABLES");
    assert!(put_back.starts_with("SET autocommit = "), "{put_back}");
    assert!(put_back.contains(", wait_timeout = "), "{put_back}");
}

#[test]
fn names_that_character_sets_read_differently_are_read_in_utf8() {
    let db = Database::with_tables();
    db.connect().batch_execute("CREATE TABLE größe (id INT); CREATE TABLE `|` (id INT)").unwrap();
    let lock = TableLock::new().write::<audit_log::table>();
    for (lock, set) in [
        (lock.clone(), false),
        (lock.clone().write_table((db.name(), "places")), false),
        (lock.clone().write_table("größe"), true),
        (lock.clone().write_table("|"), true),
        (lock.clone().read_as::<audit_log::table>("a`b"), true),
        (lock.clone().read_as::<audit_log::table>("a-b"), true),
    ] {
        let [begin, end] = batches(&lock, &db);
        let [first, last] = [&begin[0], &begin[4]];
        assert_eq!(first.contains(", character_set_client = utf8mb4"), set, "{lock}: {first}");
        assert_eq!(last.contains(", character_set_client = @"), set, "{lock}: {last}");
        assert!(!end.concat().contains("character_set_client"), "{lock}: {end:?}");
    }
}

#[test]
fn savepoints_have_the_same_names_again() {
    // MySQL keeps a digest of each name.
    let (db, proxy) = (Database::with_tables(), Proxy::new());
    let mut conn = db.connect_through(&proxy);
    let mut savepoints = HashSet::new();
    for round in 0..200 {
        let requests = proxy.record(|| match round % 4 {
            0 => drop(all_tables().acquire(&mut conn).unwrap()),
            1 => all_tables().with(&mut conn, |_| Ok::<_, Error>(())).unwrap(),
            2 => Lock::new("lock").transaction(&mut conn, |_| Ok::<_, Error>(())).unwrap(),
            _ => {
                let lock = Lock::new("lock");
                let ended = lock.transaction(&mut conn, |conn| {
                    conn.batch_execute("COMMIT").map_err(Error::from)
                });
                assert!(matches!(ended, Err(Error::TransactionEnded { .. })), "{ended:?}");
            }
        });
        for statement in requests.iter().flat_map(|request| request.split("; ")) {
            savepoints.extend(statement.strip_prefix("SAVEPOINT ").map(str::to_owned));
        }
    }
    // Other tests of this process hold locks at the same time.
    assert!((1..100).contains(&savepoints.len()), "{savepoints:?}");
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
