//! What a named lock may be called, and what the server then calls it.

use std::thread;
use std::time::Duration;

use diesel::connection::{CacheSize, SimpleConnection};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{Bool, Text};
use diesel_locks::{Error, Lock};

use crate::support::alone;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::watchdog;

const ODD_NAMES: [&str; 19] = [
    "it's",
    "\"double\"",
    "`back-ticks`",
    "back\\slash",
    "trailing\\",
    "%s %d {} {0}",
    "_%",
    "?",
    "a.b",
    ".",
    "'; DROP TABLE audit_log; -- ",
    "') OR GET_LOCK('x', 0) -- ",
    "/* comment */",
    "new\nline\ttab\rreturn",
    " space ",
    "Größe",
    "замок",
    "鍵",
    "\u{301}\u{200d}\u{fffd}",
];

#[test]
fn any_character_of_a_name_reaches_the_server_as_it_is() {
    let db = Database::with_tables();
    let (mut conn, mut other, mut admin) = (db.connect(), db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    for sql_mode in ["@@sql_mode", "'ANSI'", "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT'"] {
        conn.batch_execute(&format!("SET sql_mode = {sql_mode}")).unwrap();
        for name in ODD_NAMES {
            let lock = Lock::new(name);
            let mut guard = lock.acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&db.full_name(name)), Some(id), "{name:?}");
            assert_eq!(lock.holding_connection_id(&mut guard).unwrap(), Some(id), "{name:?}");
            assert!(lock.try_acquire(&mut other).unwrap().is_none(), "{name:?}");
            assert!(guard.is_still_held().unwrap(), "{name:?}");
            guard.release().unwrap();

            let guard = Lock::new(name).shortened().acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&db.full_name(name)), Some(id), "{name:?}");
            drop(guard);
            assert_eq!(count_and_release_locks(&mut conn), 0, "{name:?}");
        }
    }
    assert_eq!(audit_log::table.count().get_result::<i64>(&mut conn).unwrap(), 0);
}

/// Calls everything that takes a name, and returns the errors.
fn refused(lock: Lock<'_>, conn: &mut MysqlConnection) -> Vec<Error> {
    let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("runs unlocked") };
    vec![
        lock.acquire(conn).map(drop).unwrap_err(),
        lock.try_acquire(conn).map(drop).unwrap_err(),
        lock.timeout(Duration::from_millis(5)).acquire(conn).map(drop).unwrap_err(),
        lock.without_timeout().acquire(conn).map(drop).unwrap_err(),
        lock.acquire_owned(&mut *conn).map(drop).unwrap_err().error,
        lock.with(conn, body).unwrap_err(),
        lock.try_with(conn, body).unwrap_err(),
        lock.transaction(conn, body).unwrap_err(),
        lock.is_held(conn).unwrap_err(),
        lock.holding_connection_id(conn).unwrap_err(),
        lock.release(conn).unwrap_err(),
    ]
}

/// Twice, since what failed once must not hang the next time; and the connection goes on.
#[track_caller]
fn expect_invalid(lock: Lock<'_>, conn: &mut MysqlConnection, parts: &[&str]) {
    for error in (0..2).flat_map(|_| refused(lock, conn)) {
        assert!(matches!(error, Error::InvalidName { .. }), "{lock:?}: {error:?}");
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} in {text:?}");
        }
    }
    assert_eq!(count_and_release_locks(conn), 0);
    Lock::new("usable").acquire(conn).unwrap().release().unwrap();
}

#[test]
fn an_empty_name_and_one_with_nul_are_refused() {
    watchdog(|| {
        let db = Database::new();
        let mut conn = db.connect();
        for name in ["", "\0", "a\0b", "end\0"] {
            expect_invalid(Lock::new(name), &mut conn, &[]);
            expect_invalid(Lock::new(name).server_wide(), &mut conn, &[]);
            expect_invalid(Lock::new(name).shortened(), &mut conn, &[]);
        }
    });
}

/// A name of so many units: characters on `MySQL`, bytes on `MariaDB`.
fn long(length: usize) -> String {
    match server::kind() {
        server::Kind::MySql => "é".repeat(length),
        server::Kind::MariaDb => format!("{}{}", "é".repeat(length / 2), "a".repeat(length % 2)),
    }
}

fn longest() -> usize {
    if server::is_mysql() { 64 } else { 192 }
}

#[test]
fn a_name_that_is_too_long_is_refused_with_its_length_and_the_limit() {
    watchdog(|| {
        let db = Database::new();
        let (mut conn, mut admin) = (db.connect(), Admin::new());
        let prefix = db.full_name("").len();
        let (limit, length) = (longest().to_string(), (longest() + 1).to_string());

        expect_invalid(Lock::new(&long(longest() + 1 - prefix)), &mut conn, &[&limit, &length]);
        let server_wide = db.full_name(&long(longest() + 1 - prefix));
        expect_invalid(Lock::new(&server_wide).server_wide(), &mut conn, &[&limit, &length]);
        expect_invalid(Lock::new(&"x".repeat(100_000)), &mut conn, &[&limit, "100"]);

        let just_fits = long(longest() - prefix);
        let guard = Lock::new(&just_fits).acquire(&mut conn).unwrap();
        assert!(admin.holder(&db.full_name(&just_fits)).is_some());
        guard.release().unwrap();
        let server_wide = db.full_name(&just_fits);
        Lock::new(&server_wide).server_wide().acquire(&mut conn).unwrap().release().unwrap();
    });
}

#[test]
fn characters_of_four_bytes_are_refused_by_mysql_only() {
    watchdog(|| {
        let db = Database::new();
        let (mut conn, mut admin) = (db.connect(), Admin::new());
        let lock = Lock::new("🔒");
        if server::is_mysql() {
            expect_invalid(lock, &mut conn, &["🔒"]);
            expect_invalid(lock.server_wide(), &mut conn, &["🔒"]);
        } else {
            let guard = lock.acquire(&mut conn).unwrap();
            assert!(admin.holder(&db.full_name("🔒")).is_some());
            guard.release().unwrap();
        }
    });
}

#[test]
fn names_that_differ_by_case_are_one_lock_on_mysql_and_two_on_mariadb() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let _guard = Lock::new("Name").acquire(&mut conn).unwrap();
    assert_eq!(Lock::new("name").try_acquire(&mut other).unwrap().is_none(), server::is_mysql());
    for name in ["Náme", "Name ", " Name", "Nam"] {
        assert!(Lock::new(name).try_acquire(&mut other).unwrap().is_some(), "{name:?}");
    }
}

#[test]
fn a_long_name_is_shortened_to_its_beginning_and_a_digest() {
    const SHORTENED: [(&str, &str); 3] = [
        (
            "diesel-locks: this name has exactly sixty-four characters: 12345",
            "diesel-locks: this name has exactly sixty-four characters: 12345",
        ),
        (
            "diesel-locks: this name has exactly sixty-five characters: 123456",
            "diesel-locks: this name-be28220fcb49361d0b1d3b70908086144b58893a",
        ),
        (
            "diesel-locks: в этом имени больше шестидесяти четырёх знаков, считая пробелы",
            "diesel-locks: в этом им-984652786aed88a1b422dd5f3b927ef00fc08c2f",
        ),
    ];
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    for (name, server_name) in SHORTENED {
        let lock = Lock::new(name).server_wide().shortened();
        let mut guard = lock.acquire(&mut conn).unwrap();
        assert_eq!(admin.holder(server_name), Some(id), "{name}");
        assert_eq!(lock.holding_connection_id(&mut guard).unwrap(), Some(id));
        assert!(guard.is_still_held().unwrap());
        guard.release().unwrap();
        assert_eq!(admin.holder(server_name), None);
        lock.acquire(&mut conn).unwrap().leak();
        lock.release(&mut conn).unwrap();
    }
}

#[test]
fn the_database_counts_when_a_name_is_shortened() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    for (length, shortened) in [(64, false), (65, true), (1000, true)] {
        let name = "n".repeat(length - db.full_name("").len());
        let mut expected = db.full_name(&name);
        if shortened {
            let digest = sql::<Text>("SHA2(").bind::<Text, _>(&expected).sql(", 256)");
            let digest: String = diesel::select(digest).get_result(&mut conn).unwrap();
            expected = format!("{}-{}", &expected[..23], &digest[..40]);
        }
        assert_eq!(expected.len(), 64);
        let _guard = Lock::new(&name).shortened().acquire(&mut conn).unwrap();
        assert!(admin.holder(&expected).is_some(), "{expected}");
    }
}

fn expect_no_database(conn: &mut MysqlConnection) {
    for lock in [Lock::new("lock"), Lock::new("lock").shortened()] {
        for error in refused(lock, conn) {
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
        // So that the library has one to guess.
        let db = Database::new();
        Lock::new("lock").acquire(&mut db.connect()).unwrap().release().unwrap();
        expect_no_database(&mut server::connect());
    });
}

#[test]
fn a_database_that_was_dropped_is_no_database() {
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

    // Dropped, and in no database at all.
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

/// The servers run a prepared statement in the database in which it was prepared, also after `USE`:
/// Diesel's own queries too, unless they are not cached.
#[test]
fn what_diesel_has_cached_stays_in_the_database_in_which_it_was_prepared() {
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

alone! {
    fn statements_that_were_prepared_in_two_databases_take_no_lock() {
        let (db, other_db) = (Database::new(), Database::new());
        let lock = Lock::new("lock");
        lock.acquire(&mut db.connect()).unwrap().release().unwrap();
        let mut conn = db.connect();
        // Its database is known: only the acquire and the release are prepared.
        lock.acquire(&mut conn).unwrap().release().unwrap();
        other_db.enter(&mut conn);
        assert!(!lock.is_held(&mut conn).unwrap());

        assert!(lock.try_acquire(&mut conn).unwrap().is_none());
        let refused = lock.acquire(&mut conn).map(drop);
        assert!(matches!(refused, Err(Error::Interrupted { .. })), "{refused:?}");
        assert_eq!(count_and_release_locks(&mut conn), 0);
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
fn databases_whose_names_differ_by_case_are_two() {
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
        // The server keeps lock names in lower case on MySQL.
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
fn the_name_of_a_database_may_be_odd() {
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
