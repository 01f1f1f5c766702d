//! Listing the held locks by prefix, from any place where this server lists them.

mod access;

use std::cell::RefCell;
use std::collections::BTreeMap;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Error, Lock};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::support::listings::Listings;
use crate::support::schema::Database;
use crate::support::server::{self, connection_id, count_and_release_locks};

type Held = BTreeMap<String, u64>;

/// Runs the body for each place where this server lists held locks, and expects an error if there
/// is none.
fn wherever_listed(db: &Database, mut body: impl FnMut()) {
    Listings::each(|listings| {
        if listings.any() {
            body();
        } else {
            let remedy = refused(&mut db.connect());
            assert!(remedy.contains("INSTALL SONAME 'metadata_lock_info'"), "{remedy}");
        }
    });
}

fn refused(conn: &mut MysqlConnection) -> String {
    match Lock::held_with_prefix("", conn) {
        Err(Error::Unsupported { remedy, what, .. }) => {
            assert_eq!(what, "listing held locks");
            remedy
        }
        other => panic!("{other:?}"),
    }
}

fn hold(conn: &mut MysqlConnection, names: &[&str]) {
    for name in names {
        Lock::new(name).try_acquire(conn).unwrap().unwrap().leak();
    }
}

fn held(prefix: &str, conn: &mut MysqlConnection) -> Vec<String> {
    Lock::held_with_prefix(prefix, conn).unwrap().into_keys().collect()
}

#[test]
fn locks_are_listed_by_their_prefix_with_the_connections_that_hold_them() {
    let db = Database::new();
    wherever_listed(&db, || {
        let (mut conn, mut first, mut second) = (db.connect(), db.connect(), db.connect());
        assert_eq!(Lock::held_with_prefix("", &mut conn).unwrap(), Held::new());
        hold(&mut first, &["invoice-1", "invoice-2", "report"]);
        hold(&mut second, &["invoice-3"]);
        // A re-entry is not a second lock.
        hold(&mut second, &["invoice-3"]);
        let (first_id, second_id) = (connection_id(&mut first), connection_id(&mut second));
        let expected = [("invoice-1", first_id), ("invoice-2", first_id), ("invoice-3", second_id)];
        let expected: Held = expected.map(|(name, id)| (name.to_owned(), id)).into();
        for conn in [&mut conn, &mut first] {
            assert_eq!(Lock::held_with_prefix("invoice-", conn).unwrap(), expected);
        }
        assert_eq!(held("report", &mut conn), ["report"]);
        assert_eq!(held("", &mut conn).len(), 4);
        assert!(held("invoices", &mut conn).is_empty());
        assert!(held("nvoice", &mut conn).is_empty());
        assert!(held("\0", &mut conn).is_empty());
        Lock::new("invoice-2").release(&mut first).unwrap();
        assert_eq!(held("invoice-", &mut conn), ["invoice-1", "invoice-3"]);
        assert_eq!(count_and_release_locks(&mut first), 2);
        assert_eq!(count_and_release_locks(&mut second), 2);
        assert!(held("", &mut conn).is_empty());
    });
}

#[test]
fn the_prefix_is_text_and_not_a_pattern_in_every_sql_mode() {
    let db = Database::new();
    let names = ["%", "100%", "100x", "a_b", "axb", r"a\_b", r"a\\b", r"\", "it's", "\"x\"", "`"];
    let mut modes = vec![
        "",
        "ANSI,NO_BACKSLASH_ESCAPES",
        "TRADITIONAL",
        "NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT",
    ];
    if !server::is_mysql() {
        modes.push("ORACLE");
    }
    wherever_listed(&db, || {
        let (mut conn, mut holder) = (db.connect(), db.connect());
        hold(&mut holder, &names);
        for mode in &modes {
            conn.batch_execute(&format!("SET sql_mode = '{mode}'")).unwrap();
            for prefix in names.iter().chain(&["1", "a", r"a\", "it", "z", "100_", "a%"]) {
                let mut expected: Vec<_> =
                    names.iter().copied().filter(|name| name.starts_with(prefix)).collect();
                expected.sort_unstable();
                assert_eq!(held(prefix, &mut conn), expected, "{prefix} in mode {mode:?}");
            }
        }
    });
}

#[test]
fn unusual_session_settings_do_not_change_the_list() {
    let db = Database::new();
    wherever_listed(&db, || {
        let mut holder = db.connect();
        hold(&mut holder, &["é-1", "é-2"]);
        for setting in [
            "sql_select_limit = 1",
            "sql_select_limit = 0",
            "NAMES utf8mb4 COLLATE utf8mb4_bin",
            "character_set_results = NULL",
            "character_set_results = latin1",
            "collation_connection = utf8mb4_unicode_ci",
            "lc_messages = ja_JP",
            "autocommit = 0",
            "SESSION TRANSACTION READ ONLY",
            "sql_safe_updates = 1",
        ] {
            let mut conn = db.connect();
            conn.batch_execute(&format!("SET {setting}")).unwrap();
            for _ in 0..2 {
                let held = Lock::held_with_prefix("é", &mut conn);
                let held: Vec<_> = held
                    .unwrap_or_else(|error| panic!("{setting}: {error:?}"))
                    .into_keys()
                    .collect();
                assert_eq!(held, ["é-1", "é-2"], "{setting}");
            }
        }
    });
}

/// Returns the name as the server lists it.
fn listed(name: &str) -> String {
    if server::is_mysql() { name.to_lowercase() } else { name.to_owned() }
}

#[test]
fn case_follows_the_servers_rule_for_lock_names() {
    let db = Database::new();
    wherever_listed(&db, || {
        let (mut conn, mut holder) = (db.connect(), db.connect());
        hold(&mut holder, &["Invoice-Ä", "other"]);
        let expected: &[&str] = if server::is_mysql() { &["invoice-ä"] } else { &[] };
        assert_eq!(held("invoice-", &mut conn), expected);
        assert_eq!(held("INVOICE-Ä", &mut conn), expected);
        assert_eq!(held("Invoice-Ä", &mut conn), [listed("Invoice-Ä")]);
        // Accents are significant on both servers.
        assert!(held("Invoice-A", &mut conn).is_empty());
    });
}

#[test]
fn any_prefix_finds_exactly_the_names_that_start_with_it() {
    let db = Database::new();
    wherever_listed(&db, || {
        let name = || r"[abAÉé%_\\.'\x60 ж]{1,6}".prop_filter("a name", |name| !name.is_empty());
        let (conn, holder) = (RefCell::new(db.connect()), RefCell::new(db.connect()));
        TestRunner::new(ProptestConfig::with_cases(64))
            .run(
                &(prop::collection::vec(name(), 0..6), name(), 0..3_usize),
                |(names, other, cut)| {
                    let (conn, holder) = (&mut *conn.borrow_mut(), &mut *holder.borrow_mut());
                    for name in &names {
                        Lock::new(name).try_acquire(holder).unwrap().unwrap().leak();
                    }
                    // Often this is a prefix of a held lock.
                    let prefix: String =
                        names.first().unwrap_or(&other).chars().take(cut).collect();
                    for prefix in [prefix, other] {
                        let expected: Vec<_> = names
                            .iter()
                            .map(|name| listed(name))
                            .filter(|name| name.starts_with(&listed(&prefix)))
                            .collect::<std::collections::BTreeSet<_>>()
                            .into_iter()
                            .collect();
                        prop_assert_eq!(held(&prefix, conn), expected, "{:?}", prefix);
                    }
                    count_and_release_locks(holder);
                    Ok(())
                },
            )
            .unwrap();
    });
}

#[test]
fn only_the_connections_own_database_is_listed() {
    let db = Database::new();
    let like = Database::named(&format!("{}x", db.name()));
    let pattern = Database::named(&format!("{}%", db.name()));
    wherever_listed(&db, || {
        let mut holders = [db.connect(), server::connect(), server::connect()];
        for ((db, name), holder) in
            [(&db, "here"), (&like, "there"), (&pattern, "pattern")].iter().zip(&mut holders)
        {
            db.enter(holder);
            hold(holder, &[name]);
        }
        // The result does not depend on earlier queries of the connection.
        let mut conn = server::connect();
        for _ in 0..2 {
            for (db, name) in [(&db, "here"), (&like, "there"), (&pattern, "pattern")] {
                db.enter(&mut conn);
                assert_eq!(held("", &mut conn), [name]);
            }
        }
        let nowhere = Lock::held_with_prefix("", &mut server::connect());
        assert!(matches!(nowhere, Err(Error::NoDatabase)), "{nowhere:?}");
    });
}

#[test]
fn server_wide_and_shortened_locks_are_shown_as_the_docs_say() {
    let db = Database::new();
    wherever_listed(&db, || {
        let (mut conn, mut holder) = (db.connect(), db.connect());
        let long = "n".repeat(100);
        let lock = Lock::new(&long).shortened();
        lock.acquire(&mut holder).unwrap().leak();
        Lock::new("anywhere").server_wide().acquire(&mut holder).unwrap().leak();
        let prefixed = db.full_name("by hand");
        Lock::new(&prefixed).server_wide().acquire(&mut holder).unwrap().leak();
        let held = held("", &mut conn);
        assert_eq!(held.len(), 2, "{held:?}");
        assert_eq!(held[0], "by hand");
        let beginning = "n".repeat(23 - db.full_name("").len());
        let digits = held[1].strip_prefix(&format!("{beginning}-")).unwrap();
        assert!(digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{held:?}");
    });
}

#[test]
fn a_prefix_longer_than_the_listed_names_is_refused() {
    let db = Database::new();
    let long = "n".repeat(70);
    wherever_listed(&db, || {
        let (mut conn, mut holder) = (db.connect(), db.connect());
        if server::is_mysql() {
            // No lock has such a name.
            assert!(held(&long, &mut conn).is_empty());
            assert!(held("🔒", &mut conn).is_empty());
            return;
        }
        hold(&mut holder, &[&long, "🔒"]);
        let cut = &long[..64 - db.full_name("").len()];
        assert!(held("n", &mut conn) == [cut]);
        for prefix in [long.as_str(), "🔒"] {
            let refused = Lock::held_with_prefix(prefix, &mut conn);
            assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
        }
    });
}
