//! Names of named locks, and the names that the server uses for them.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_locks::{Error, Lock};

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
fn any_character_of_a_name_reaches_the_server_unchanged() {
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

/// Calls every method that uses the name, and returns the errors.
pub(super) fn errors_of_every_call(lock: Lock<'_>, conn: &mut MysqlConnection) -> Vec<Error> {
    let body = |_: &mut MysqlConnection| -> Result<(), Error> { panic!("runs unlocked") };
    vec![
        lock.acquire(conn).map(drop).unwrap_err(),
        lock.try_acquire(conn).map(drop).unwrap_err(),
        lock.timeout(Duration::from_millis(5)).acquire(conn).map(drop).unwrap_err(),
        lock.without_timeout().acquire(conn).map(drop).unwrap_err(),
        lock.acquire_owned(&mut *conn).map(drop).unwrap_err().into(),
        lock.with(conn, body).unwrap_err(),
        lock.try_with(conn, body).unwrap_err(),
        lock.transaction(conn, body).unwrap_err(),
        lock.is_held(conn).unwrap_err(),
        lock.holding_connection_id(conn).unwrap_err(),
        lock.release(conn).unwrap_err(),
    ]
}

/// Expects errors twice, because a statement that failed once must not hang the next time, and a
/// connection that stays usable.
#[track_caller]
fn expect_invalid(lock: Lock<'_>, conn: &mut MysqlConnection, parts: &[&str]) {
    for error in (0..2).flat_map(|_| errors_of_every_call(lock, conn)) {
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

/// Returns a name of this length: in characters on MySQL, in bytes on MariaDB.
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
fn the_database_counts_toward_the_length_of_a_shortened_name() {
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
