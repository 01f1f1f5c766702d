//! Locks described once and for all: their names, their equality, and the database in their prefix.

use std::collections::HashSet;
use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Error, Lock, with_lock};

use crate::support::alone;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};

static INVOICE: Lock = Lock::new("invoice").in_database("tenant_42").timeout(Duration::ZERO);

#[test]
fn a_dot_may_be_part_of_the_database_or_of_the_name() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let database = format!("{}.b", db.name());
    let name = "b.c";
    let id = connection_id(&mut other);
    let _held = Lock::new("c").in_database(&database).acquire(&mut other).unwrap();
    // One lock, as the guide says: the prefix is plain text.
    for lock in [Lock::new(name), Lock::new(name).in_database(db.name())] {
        assert!(lock.try_acquire(&mut conn).unwrap().is_none());
        assert_eq!(lock.holding_connection_id(&mut conn).unwrap(), Some(id));
    }
    assert!(Lock::new("c").try_acquire(&mut conn).unwrap().is_some());
}

#[test]
fn a_lock_is_a_constant_that_shows_its_name_and_can_be_a_key() {
    const NAME: &str = INVOICE.name();
    assert_eq!(NAME, "invoice");
    assert_eq!(Lock::new("lock").server_wide().shortened().name(), "lock");
    // The name outlives the description.
    let owned = String::from("owned");
    let name = Lock::new(&owned).name();
    assert_eq!(name, "owned");

    let copy = INVOICE;
    let other = INVOICE.in_database("tenant_43");
    let different = [
        INVOICE,
        copy,
        other,
        INVOICE.server_wide(),
        INVOICE.shortened(),
        INVOICE.without_timeout(),
        Lock::new("invoice"),
        Lock::new("invoice").timeout(Lock::DEFAULT_TIMEOUT),
    ];
    assert_eq!(different.into_iter().collect::<HashSet<_>>().len(), 6);
    assert_eq!(INVOICE, other.in_database("tenant_42"));
}

#[test]
fn the_database_of_the_prefix_is_neither_the_connections_nor_checked() {
    let db = Database::new();
    let mut admin = Admin::new();
    // The servers' names are common to all tests, and this one belongs to this test alone.
    for prefix in [db.name().to_owned(), format!("{}_never_created", db.name())] {
        let lock = Lock::new("lock").in_database(&prefix);
        let full_name = format!("{prefix}.lock");
        for mut conn in [server::connect(), db.connect()] {
            let id = connection_id(&mut conn);
            let mut guard = lock.acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&full_name), Some(id));
            assert_eq!(lock.holding_connection_id(&mut guard).unwrap(), Some(id));
            assert!(guard.is_still_held().unwrap());
            assert!(lock.try_acquire(&mut db.connect()).unwrap().is_none());
            let failed = lock.timeout(Duration::ZERO).acquire(&mut admin.0).map(drop).unwrap_err();
            assert!(
                matches!(&failed, Error::Timeout { lock, holder, .. }
                    if *lock == full_name && *holder == Some(id)),
                "{failed:?}"
            );
            guard.leak();
            lock.release(&mut conn).unwrap();
            assert_eq!(admin.holder(&full_name), None);
            lock.with(&mut conn, |_| QueryResult::Ok(())).unwrap();
            lock.transaction(&mut conn, |_| QueryResult::Ok(())).unwrap();
            assert_eq!(count_and_release_locks(&mut conn), 0);
        }
    }
}

#[test]
fn it_is_the_lock_of_connections_in_that_database() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut other) = (db.connect(), other_db.connect());
    let lock = Lock::new("lock");
    let _held = lock.acquire(&mut conn).unwrap();
    assert!(lock.try_acquire(&mut other).unwrap().is_some());
    assert!(lock.in_database(db.name()).try_acquire(&mut other).unwrap().is_none());
    // The default database still is what it was.
    assert!(lock.try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn it_follows_no_use_statement() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let lock = Lock::new("lock").in_database(db.name());
    for current in [&db, &other_db, &db] {
        current.enter(&mut conn);
        let guard = lock.acquire(&mut conn).unwrap();
        assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
        assert_eq!(admin.holder(&other_db.full_name("lock")), None);
        guard.leak();
        other_db.enter(&mut conn);
        lock.release(&mut conn).unwrap();
        assert_eq!(admin.holder(&db.full_name("lock")), None);
    }
}

#[test]
fn a_long_prefix_counts_and_can_be_shortened() {
    let db = Database::new();
    let mut conn = db.connect();
    let prefix = format!("{}{}", db.name(), "d".repeat(300));
    let lock = Lock::new("lock").in_database(&prefix);
    let error = lock.acquire(&mut conn).map(drop).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidName { name, .. } if name.contains(&prefix)),
        "{error:?}"
    );
    assert!(error.to_string().contains("shortened"), "{error}");
    lock.shortened().acquire(&mut conn).unwrap().release().unwrap();
}

#[test]
fn an_attribute_takes_the_database_from_its_arguments() {
    #[with_lock("lock", in_database = database, timeout = 0)]
    fn locked(conn: &mut MysqlConnection, database: &str) -> Result<Option<u64>, Error> {
        Lock::new("lock").in_database(database).holding_connection_id(conn)
    }
    let db = Database::new();
    let mut conn = server::connect();
    let id = connection_id(&mut conn);
    assert_eq!(locked(&mut conn, db.name()).unwrap(), Some(id));
}

alone! {
    fn a_prefix_of_ones_own_costs_one_round_trip_whatever_the_database_is() {
        let (db, other_db, proxy) = (Database::new(), Database::new(), Proxy::new());
        let lock = Lock::new("lock").in_database(other_db.name());
        let without = server::url_through(&proxy.host(), "");
        for url in [without, db.url_through(&proxy)] {
            let conn = &mut MysqlConnection::establish(&url).unwrap();
            lock.acquire(conn).unwrap().leak();
            lock.release(conn).unwrap();
            assert!(!lock.is_held(conn).unwrap());
            let in_between = || {
                // The library remembers another database.
                let mut other = db.connect();
                Lock::new("lock").acquire(&mut other).unwrap().release().unwrap();
            };
            in_between();
            proxy.expect("acquire", 1, || {
                lock.acquire(conn).unwrap().leak();
            });
            in_between();
            proxy.expect("is_held", 1, || assert!(lock.is_held(conn).unwrap()));
            proxy.expect("release", 1, || lock.release(conn).unwrap());
            in_between();
            let mut guard = None;
            proxy.expect("try_acquire", 1, || guard = lock.try_acquire(conn).unwrap());
            proxy.expect("LockGuard::release", 1, || {
                guard.unwrap().release().unwrap();
            });
        }
    }
}
