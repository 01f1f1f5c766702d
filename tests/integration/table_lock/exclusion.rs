//! Access to locked tables: from other connections, and from the connection that holds the lock.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, LockableTable, TableLock};

use crate::support::schema::{Database, audit_log, customers, places, restaurants};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{
    Customer, Place, Restaurant, all_tables, assert_all_free, depth, is_writable, log, logged,
};

fn is_readable(db: &Database, table: &str) -> bool {
    let mut other = db.connect();
    other.batch_execute("SET lock_wait_timeout = 1, innodb_lock_wait_timeout = 1").unwrap();
    other.batch_execute(&format!("SELECT COUNT(*) FROM `{table}`")).is_ok()
}

#[test]
fn other_connections_can_read_but_not_write_tables_locked_for_reading() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let guard = TableLock::new().read::<Customer>().acquire(&mut conn).unwrap();
    assert!(is_readable(&db, "customers"));
    assert!(!is_writable(&db, "customers"));
    assert!(is_writable(&db, "places"));
    // Readers share the lock.
    let mut other = db.connect();
    let shared = TableLock::new().read::<Customer>().timeout(Duration::ZERO);
    shared.acquire(&mut other).unwrap().release().unwrap();
    guard.release().unwrap();
    assert_all_free(&db);
}

#[test]
fn other_connections_can_neither_read_nor_write_tables_locked_for_writing() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let guard = TableLock::new().write::<Restaurant>().acquire(&mut conn).unwrap();
    for table in ["restaurants", "places"] {
        assert!(!is_readable(&db, table), "{table}");
        assert!(!is_writable(&db, table), "{table}");
    }
    assert!(is_writable(&db, "customers"));
    guard.release().unwrap();
    assert_all_free(&db);
}

#[test]
fn bodies_run_one_at_a_time() {
    let db = Database::with_tables();
    db.connect().batch_execute("INSERT INTO restaurants VALUES (1, 0)").unwrap();
    let lock = TableLock::new().write::<Restaurant>();
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let mut conn = db.connect();
                for _ in 0..10 {
                    lock.with(&mut conn, |conn| {
                        let seats: i32 =
                            restaurants::table.select(restaurants::seats).first(conn)?;
                        diesel::update(restaurants::table)
                            .set(restaurants::seats.eq(seats + 1))
                            .execute(conn)
                    })
                    .unwrap();
                }
            });
        }
    });
    let seats: i32 =
        restaurants::table.select(restaurants::seats).first(&mut db.connect()).unwrap();
    assert_eq!(seats, 40);
}

#[test]
fn a_waiter_sees_everything_committed_before_its_turn() {
    let db = Database::with_tables();
    let (mut conn, mut waiter, mut admin) = (db.connect(), db.connect(), Admin::new());
    let waiter_id = connection_id(&mut waiter);
    let lock = TableLock::new().write::<audit_log::table>();
    let mut guard = lock.acquire(&mut conn).unwrap();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| {
            lock.with(&mut waiter, |conn| {
                audit_log::table.select(audit_log::message).load::<String>(conn)
            })
        });
        admin.until_waiting(waiter_id);
        log(&mut guard, "first").unwrap();
        guard.release().unwrap();
        assert_eq!(waiting.join().unwrap().unwrap(), ["first"]);
    });
}

#[test]
fn a_nested_transaction_is_a_savepoint_and_keeps_the_tables_locked() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let lock = TableLock::new().write::<audit_log::table>();
    lock.with(&mut conn, |conn| {
        log(conn, "outer")?;
        conn.transaction(|conn| {
            assert_eq!(depth(conn), Some(2));
            log(conn, "inner")?;
            assert!(!is_writable(&db, "audit_log"));
            let undone = conn.transaction(|conn| {
                log(conn, "undone")?;
                Err::<(), _>(DieselError::RollbackTransaction)
            });
            assert_eq!(undone, Err(DieselError::RollbackTransaction));
            assert!(!is_writable(&db, "audit_log"));
            QueryResult::Ok(())
        })?;
        assert_eq!(depth(conn), Some(1));
        assert!(!is_writable(&db, "audit_log"));
        QueryResult::Ok(())
    })
    .unwrap();
    assert_eq!(logged(&db), ["outer", "inner"]);
}

#[test]
fn a_nested_table_lock_is_refused_and_the_outer_one_kept() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let mut guard = TableLock::new().write::<audit_log::table>().acquire(&mut conn).unwrap();
    log(&mut guard, "outer").unwrap();
    let refused = TableLock::new().write::<Customer>().acquire(&mut guard).map(drop);
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    let refused = all_tables().with(&mut guard, |_| -> Result<(), Error> { panic!("it runs") });
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");

    assert_eq!(depth(&mut guard), Some(1));
    assert!(!is_writable(&db, "audit_log"));
    assert!(is_writable(&db, "customers"));
    guard.release().unwrap();
    assert_eq!(logged(&db), ["outer"]);
}

#[test]
fn named_locks_work_inside_a_table_lock_and_outlast_it() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let named = Lock::new("inside");
    let mut guard = all_tables().acquire(&mut conn).unwrap();
    named.with(&mut guard, |conn| log(conn, "under both")).unwrap();
    named.acquire(&mut guard).unwrap().leak();
    assert!(named.try_acquire(&mut other).unwrap().is_none());
    let refused = named.transaction(&mut guard, |_| -> Result<(), Error> { panic!("it runs") });
    assert!(matches!(refused, Err(Error::InTransaction { .. })), "{refused:?}");
    let conn = guard.release().unwrap();
    assert!(named.try_acquire(&mut other).unwrap().is_none());
    assert_eq!(count_and_release_locks(conn), 1);
    assert_eq!(logged(&db), ["under both"]);

    // A table lock works inside a named lock, too.
    let mut guard = named.acquire(conn).unwrap();
    all_tables().with(&mut guard, |conn| log(conn, "under both")).unwrap();
    assert!(guard.is_still_held().unwrap());
}

#[test]
fn a_self_join_uses_the_alias_that_was_locked() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("INSERT INTO places VALUES (1, 'one'), (2, 'two')").unwrap();
    let parent = diesel::alias!(places as parent_place);
    let query = places::table
        .inner_join(parent.on(parent.field(places::id).eq(places::id + 1)))
        .select((places::name, parent.field(places::name)));

    let without_alias = TableLock::new().read::<Place>();
    let failed = without_alias.with(&mut conn, |conn| query.load::<(String, String)>(conn));
    assert!(matches!(failed, Err(DieselError::DatabaseError(..))), "{failed:?}");

    let lock = TableLock::new().read::<Place>().read_as::<Place>("parent_place");
    let rows = lock.with(&mut conn, |conn| query.load::<(String, String)>(conn)).unwrap();
    assert_eq!(rows, [("one".to_owned(), "two".to_owned())]);
    assert_all_free(&db);
}

#[test]
fn a_view_is_locked_with_its_underlying_tables() {
    diesel::table! { guests (id) { id -> Integer, } }
    struct Guest;
    impl LockableTable for Guest {
        type Table = guests::table;
    }
    let db = Database::with_tables();
    let mut conn = db.connect();
    conn.batch_execute("CREATE VIEW guests AS SELECT customers.id FROM customers, places").unwrap();
    let mut guard = TableLock::new().write::<Guest>().acquire(&mut conn).unwrap();
    assert_eq!(guests::table.count().get_result::<i64>(&mut *guard).unwrap(), 0);
    for table in ["customers", "places"] {
        assert!(!is_writable(&db, table), "{table}");
    }
    guard.release().unwrap();
    assert_all_free(&db);
}

#[test]
fn only_the_locked_tables_can_be_used_while_they_are_locked() {
    let db = Database::with_tables();
    let mut conn = db.connect();
    let lock = TableLock::new().read::<Customer>();
    lock.with(&mut conn, |conn| {
        assert!(customers::table.count().get_result::<i64>(conn).is_ok());
        assert!(places::table.count().get_result::<i64>(conn).is_err());
        assert!(diesel::delete(customers::table).execute(conn).is_err());
        QueryResult::Ok(())
    })
    .unwrap();
}
