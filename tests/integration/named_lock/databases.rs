//! Named locks and the database of the connection, which is part of their names.

use std::thread;
use std::time::Duration;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_locks::{Error, Lock, LockGuard};

use crate::support::alone;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::watchdog;

use super::names::errors_of_every_call;

fn expect_no_database(conn: &mut MysqlConnection) {
    for lock in [Lock::new("lock"), Lock::new("lock").shortened()] {
        for error in errors_of_every_call(lock, conn) {
            assert!(matches!(error, Error::NoDatabase), "{error:?}");
        }
    }
    assert_eq!(count_and_release_locks(conn), 0);
    let id = connection_id(conn);
    let name = format!("server-wide-{id}");
    let lock = Lock::new(&name).server_wide();
    let mut guard = lock.acquire(conn).unwrap();
    assert!(guard.is_still_held().unwrap());
    assert_eq!(Admin::new().holder(&name), Some(id));
    guard.release().unwrap();
}

#[test]
fn without_a_database_only_server_wide_locks_work() {
    watchdog(|| {
        // Gives the library a database to guess.
        let db = Database::new();
        Lock::new("lock").acquire(&mut db.connect()).unwrap().release().unwrap();
        expect_no_database(&mut server::connect());
    });
}

#[test]
fn a_dropped_database_counts_as_no_database() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        Lock::new("lock").acquire(&mut conn).unwrap().release().unwrap();
        conn.batch_execute(&format!("DROP DATABASE {0}; CREATE DATABASE {0}", db.name())).unwrap();
        expect_no_database(&mut conn);
        db.enter(&mut conn);
        Lock::new("lock").acquire(&mut conn).unwrap().release().unwrap();
    });
}

#[test]
fn a_server_wide_lock_has_no_prefix_and_is_the_same_in_every_database() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut other, mut admin) = (db.connect(), other_db.connect(), Admin::new());
    let name = db.full_name("shared");
    let id = connection_id(&mut conn);
    let _guard = Lock::new(&name).server_wide().acquire(&mut conn).unwrap();
    assert_eq!(admin.holder(&name), Some(id));
    assert!(Lock::new(&name).server_wide().try_acquire(&mut other).unwrap().is_none());
    assert!(Lock::new(&name).try_acquire(&mut other).unwrap().is_some());
}

#[test]
fn a_guard_keeps_its_name_when_the_connection_uses_another_database() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let mut guard = Lock::new("lock").acquire(&mut conn).unwrap();
    other_db.enter(&mut guard);
    assert!(guard.is_still_held().unwrap());
    guard.release().unwrap();
    assert_eq!(admin.holder(&db.full_name("lock")), None);

    // The database is dropped, and the connection has none.
    db.enter(&mut conn);
    let mut guard = Lock::new("lock").acquire(&mut conn).unwrap();
    other_db.enter(&mut guard);
    guard
        .batch_execute(&format!("DROP DATABASE {0}; CREATE DATABASE {0}", other_db.name()))
        .unwrap();
    assert!(guard.is_still_held().unwrap());
    drop(guard);
    assert_eq!(admin.holder(&db.full_name("lock")), None);
}

alone! {
    /// The servers run a prepared statement in the database in which it was prepared, even after
    /// `USE`. That includes Diesel's own queries, if they are cached.
    fn a_cached_statement_stays_in_the_database_in_which_it_was_prepared() {
        let (db, other_db) = (Database::with_tables(), Database::with_tables());
        let (mut conn, mut admin) = (db.connect(), Admin::new());
        let id = connection_id(&mut conn);
        let insert = |conn: &mut MysqlConnection| {
            diesel::insert_into(audit_log::table)
                .values(audit_log::message.eq("row"))
                .execute(conn)
                .unwrap()
        };
        insert(&mut conn);
        Lock::new("lock").acquire(&mut conn).unwrap().release().unwrap();
        other_db.enter(&mut conn);

        insert(&mut conn);
        let rows = audit_log::table.count().get_result::<i64>(&mut db.connect()).unwrap();
        assert_eq!(rows, 2, "Diesel's own query followed `USE`");
        let _guard = Lock::new("lock").acquire(&mut conn).unwrap();
        assert_eq!(admin.holder(&db.full_name("lock")), Some(id));
    }

    /// After `USE` some statements are cached for the one database, and some for the other, or for
    /// none.
    fn a_free_lock_is_acquired_after_use_whatever_was_prepared_before() {
        type Prepare = fn(&mut MysqlConnection);
        const LOCK: Lock = Lock::new("lock").timeout(Duration::from_secs(1));
        const PREPARE: [(&str, Prepare); 6] = [
            ("nothing", |_| {}),
            ("acquire and release", |conn| drop(LOCK.acquire(conn))),
            ("is_held", |conn| drop(LOCK.is_held(conn))),
            ("is_still_held", |conn| {
                let _ = LOCK.acquire(conn).map(|mut guard| guard.is_still_held());
            }),
            ("acquire and Lock::release", |conn| {
                let _ = LOCK.acquire(conn).map(LockGuard::leak);
                let _ = LOCK.release(conn);
                // It may have been the lock of the other database.
                Lock::release_all(conn).unwrap();
            }),
            ("transaction", |conn| drop(LOCK.transaction(conn, |_| Ok::<_, Error>(())))),
        ];
        let (db, other_db) = (Database::new(), Database::new());
        let mut admin = Admin::new();
        let names = [&db, &other_db].map(|db| db.full_name("lock"));
        let mut calls = 0;
        for (first_in_none, [here, there]) in
            [false, true].into_iter().flat_map(|none| [(none, [&db, &other_db]), (none, [&other_db, &db])])
        {
            for (first, prepare_first) in PREPARE {
                for (second, prepare_second) in PREPARE {
                    for last_seen in [&db, &other_db] {
                        let order = format!("{first} in {first_in_none}, {second}");
                        let mut conn = server::connect();
                        let id = connection_id(&mut conn);
                        if !first_in_none {
                            here.enter(&mut conn);
                        }
                        prepare_first(&mut conn);
                        there.enter(&mut conn);
                        prepare_second(&mut conn);
                        here.enter(&mut conn);
                        assert_eq!(count_and_release_locks(&mut conn), 0, "{order}");
                        LOCK.acquire(&mut last_seen.connect()).unwrap().release().unwrap();

                        let mut expect_held = |what: &str| {
                            let holders = names.each_ref().map(|name| admin.holder(name));
                            let held = holders.iter().flatten().copied().collect::<Vec<_>>();
                            assert_eq!(held, [id], "{order}: {what}");
                            calls += 1;
                        };
                        for what in ["try_acquire", "acquire", "acquire_owned"] {
                            let guard = match what {
                                "try_acquire" => LOCK.try_acquire(&mut conn).unwrap().expect(&order),
                                "acquire" => LOCK.acquire(&mut conn).unwrap(),
                                _ => LOCK.acquire_owned(&mut conn).unwrap(),
                            };
                            expect_held(what);
                            guard.release().unwrap();
                        }
                        let ran = LOCK.try_with(&mut conn, |_| {
                            expect_held("try_with");
                            Ok::<_, Error>(())
                        });
                        assert!(ran.unwrap().is_some(), "{order}");
                        LOCK.with(&mut conn, |_| {
                            expect_held("with");
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                        LOCK.transaction(&mut conn, |_| {
                            expect_held("transaction");
                            Ok::<_, Error>(())
                        })
                        .unwrap();
                        assert_eq!(count_and_release_locks(&mut conn), 0, "{order}");
                    }
                }
            }
        }
        println!("{calls} calls");
    }
}

#[test]
fn without_cached_statements_a_lock_is_that_of_the_database_in_use() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    conn.set_prepared_statement_cache_size(CacheSize::Disabled);
    let id = connection_id(&mut conn);
    let lock = Lock::new("lock");
    for _ in 0..2 {
        for (here, there) in [(&db, &other_db), (&other_db, &db)] {
            here.enter(&mut conn);
            let mut guard = lock.acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&here.full_name("lock")), Some(id));
            assert_eq!(admin.holder(&there.full_name("lock")), None);
            assert!(lock.is_held(&mut guard).unwrap());

            there.enter(&mut guard);
            assert!(!lock.is_held(&mut guard).unwrap());
            assert!(matches!(lock.release(&mut guard), Err(Error::NotHeld { .. })));
            let second = lock.acquire(&mut guard).unwrap();
            assert_eq!(admin.holder(&there.full_name("lock")), Some(id));
            second.release().unwrap();
            assert_eq!(admin.holder(&there.full_name("lock")), None);
            assert!(guard.is_still_held().unwrap());
            guard.release().unwrap();
            assert_eq!(count_and_release_locks(&mut conn), 0);
        }
    }
}

#[test]
fn databases_whose_names_differ_by_case_are_distinguished() {
    let db = Database::new();
    let mut conn = db.connect();
    let one_case: bool =
        diesel::select(sql::<Bool>("@@lower_case_table_names <> 0")).get_result(&mut conn).unwrap();
    if one_case {
        return;
    }
    let upper = Database::named(&db.name().to_uppercase());
    let (mut other, mut admin) = (upper.connect(), Admin::new());
    let lock = Lock::new("lock");
    for _ in 0..3 {
        let guard = lock.acquire(&mut conn).unwrap();
        // MySQL keeps lock names in lower case.
        assert_eq!(lock.try_acquire(&mut other).unwrap().is_none(), server::is_mysql());
        assert!(admin.holder(&db.full_name("lock")).is_some());
        assert_eq!(admin.holder(&upper.full_name("lock")).is_some(), server::is_mysql());
        guard.release().unwrap();

        let guard = lock.acquire(&mut other).unwrap();
        assert!(admin.holder(&upper.full_name("lock")).is_some());
        assert_eq!(admin.holder(&db.full_name("lock")).is_some(), server::is_mysql());
        guard.release().unwrap();
    }
}

#[test]
fn the_name_of_a_database_may_contain_any_character() {
    let base = Database::new();
    let mut admin = Admin::new();
    for odd in ["it's", "a\"b", "c`d", "e\\f", "%s", "g.h", "Größe", "замок", "鍵"] {
        let db = Database::named(&format!("{}{odd}", base.name()));
        let mut conn = server::connect();
        db.enter(&mut conn);
        let id = connection_id(&mut conn);
        for lock in [Lock::new("lock"), Lock::new("lock").shortened()] {
            let mut guard = lock.acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&db.full_name("lock")), Some(id), "{odd}");
            assert!(lock.is_held(&mut guard).unwrap());
            guard.release().unwrap();
            assert_eq!(admin.holder(&db.full_name("lock")), None, "{odd}");
        }
    }
}

#[test]
fn threads_in_many_databases_do_not_mix_up_their_locks() {
    let databases: Vec<_> = (0..4).map(|_| Database::new()).collect();
    thread::scope(|threads| {
        for db in &databases {
            threads.spawn(|| {
                let (mut conn, mut admin) = (db.connect(), Admin::new());
                let id = connection_id(&mut conn);
                let full_name = db.full_name("lock");
                for _ in 0..50 {
                    let lock = Lock::new("lock");
                    let mut guard = lock.try_acquire(&mut conn).unwrap().unwrap();
                    assert_eq!(admin.holder(&full_name), Some(id));
                    assert!(lock.is_held(&mut guard).unwrap());
                    guard.leak();
                    lock.release(&mut conn).unwrap();
                    assert_eq!(admin.holder(&full_name), None);
                    assert!(!lock.is_held(&mut conn).unwrap());
                }
            });
        }
    });
}
