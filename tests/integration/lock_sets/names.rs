//! The names of a set, and the order in which its locks are acquired.

use std::collections::BTreeMap;

use diesel::prelude::*;
use diesel::sql_types::Binary;
use diesel_locks::{Error, Lock};

use crate::support::schema::Database;
use crate::support::server::{self, count_and_release_locks, is_mysql};

#[test]
fn names_are_in_one_order_and_each_is_there_once() {
    let names = ["b", "a", "B", "c", "a"];
    let set = Lock::all(names);
    assert_eq!(set.names().collect::<Vec<_>>(), ["a", "B", "b", "c"]);
    assert_eq!(set.to_string(), "a, B, b, c");
    let owned = names.map(str::to_owned);
    assert_eq!(set, Lock::all(&owned));
    assert_eq!(set, Lock::all(owned.iter().rev()));
    assert_eq!(set, Lock::all(owned));
}

#[test]
fn names_that_are_one_lock_for_the_server_are_released_as_often_as_acquired() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let set = Lock::all(["A", "a", "á"]);
    let mut guard = set.acquire(&mut conn).unwrap();
    assert!(guard.is_still_held().unwrap());
    assert!(Lock::new("a").try_acquire(&mut other).unwrap().is_none());
    guard.release().unwrap();
    assert!(set.try_acquire(&mut other).unwrap().is_some());
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

/// The order has to be that of the server: otherwise two clients that spell the names differently
/// could acquire two locks in two orders.
#[test]
fn no_other_lock_is_between_two_spellings_of_one_lock() {
    #[derive(QueryableByName)]
    struct Lower {
        #[diesel(sql_type = Binary)]
        lower: Vec<u8>,
    }
    const BATCH: usize = 1_000;
    let characters: Vec<char> = ('\u{1}'..='\u{ffff}').collect();
    let mut conn = server::connect();
    // Two names for each: one with a low and one with a high character after it.
    let mut folded = BTreeMap::new();
    for characters in characters.chunks(BATCH) {
        let text: String = characters.iter().collect();
        // As long as no character becomes two, which the comparison below shows.
        let lower = diesel::sql_query(
            "SELECT CAST(LOWER(CONVERT(? USING utf8mb4) COLLATE utf8mb4_general_ci) AS BINARY) \
             AS lower",
        )
        .bind::<Binary, _>(text.as_bytes())
        .get_result::<Lower>(&mut conn)
        .unwrap();
        let lower = String::from_utf8(lower.lower).unwrap();
        assert_eq!(lower.chars().count(), characters.len());
        for (&character, lower) in characters.iter().zip(lower.chars()) {
            for after in ['\u{1}', '\u{ffff}'] {
                folded.insert(format!("{character}{after}"), (lower, after));
            }
        }
    }
    let set = Lock::all(folded.keys());
    let mut locks: Vec<_> = set.names().map(|name| folded[name]).collect();
    let spellings = locks.len();
    locks.dedup();
    let together = locks.len();
    locks.sort_unstable();
    locks.dedup();
    assert_eq!(together, locks.len(), "spellings of one lock are apart");
    assert!(spellings > together);
}

/// Whether the server compares the names of locks in the way that the test above assumes.
#[test]
fn the_servers_take_names_for_one_lock_as_the_order_assumes() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let pairs = [
        ("A", "a"),
        ("Ä", "ä"),
        ("İ", "i"),
        ("\u{212a}", "k"),
        ("Ω", "ω"),
        ("Я", "я"),
        ("Ⅷ", "ⅷ"),
        ("ＡＢ", "ａｂ"),
    ];
    for (upper, lower) in pairs {
        let _guard = Lock::new(upper).acquire(&mut conn).unwrap();
        let is_free = Lock::new(lower).try_acquire(&mut other).unwrap().is_some();
        assert_eq!(is_free, !is_mysql(), "{upper} and {lower}");
    }
    for (one, another) in [("ẞ", "ß"), ("Ⱥ", "ⱥ"), ("Ꭰ", "ꭰ"), ("a", "á"), ("a", "a "), ("i", "ı")]
    {
        let _guard = Lock::new(one).acquire(&mut conn).unwrap();
        assert!(Lock::new(another).try_acquire(&mut other).unwrap().is_some(), "{one}, {another}");
    }
}

#[test]
fn a_name_that_no_server_takes_is_refused_before_anything_is_acquired() {
    let db = Database::new();
    let mut conn = db.connect();
    for bad in ["", "a\0b"] {
        let refused = Lock::all(["a", bad, "b"]).acquire(&mut conn).map(drop);
        assert!(matches!(&refused, Err(Error::InvalidName { name, .. }) if name == bad));
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn a_name_that_is_too_long_is_named_and_nothing_is_held() {
    let db = Database::new();
    let mut conn = db.connect();
    let long = format!("b{}", "n".repeat(200));
    let mut outer = Lock::new("a").acquire(&mut conn).unwrap();
    for names in [["a", "c", &long], ["a", &long, "c"], [&long, "c", "d"]] {
        match Lock::all(names).acquire(&mut outer).map(drop) {
            Err(Error::InvalidName { name, reason, .. }) => {
                assert_eq!(name, db.full_name(&long));
                assert!(reason.contains("`shortened`"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(outer.is_still_held().unwrap());
    outer.release().unwrap();
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

#[test]
fn names_that_only_mariadb_takes_work_there_and_are_refused_by_mysql() {
    let db = Database::new();
    let mut conn = db.connect();
    let long = format!("b{}", "n".repeat(80));
    for special in ["🔒", long.as_str()] {
        let acquired = Lock::all(["a", special, "c"]).acquire(&mut conn).map(|guard| {
            guard.leak();
        });
        if is_mysql() {
            assert!(matches!(acquired, Err(Error::InvalidName { .. })), "{acquired:?}");
            assert_eq!(count_and_release_locks(&mut conn), 0);
        } else {
            acquired.unwrap();
            assert_eq!(count_and_release_locks(&mut conn), 3);
        }
    }
}

#[test]
fn shortened_names_of_any_length_are_the_locks_that_they_are_alone() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let names = [1, 100, 200, 2_000].map(|length| format!("s{}", "n".repeat(length)));
    let mixed = Lock::all(&names).shortened();
    let all_long = Lock::all(&names[1..]).shortened();
    for set in [mixed, all_long] {
        let mut guard = set.acquire(&mut conn).unwrap();
        assert!(guard.is_still_held().unwrap());
        for name in set.names() {
            assert!(Lock::new(name).shortened().try_acquire(&mut other).unwrap().is_none());
        }
        guard.release().unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
        assert!(set.try_acquire(&mut other).unwrap().is_some());
    }
}

#[test]
fn a_sessions_character_set_does_not_change_the_locks() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    for statement in ["SET NAMES latin1", "SET character_set_connection = latin1"] {
        diesel::sql_query(statement).execute(&mut conn).unwrap();
        let set = Lock::all(["größe", "länge", "語"]);
        let mut guard = set.acquire(&mut conn).unwrap();
        for name in set.names() {
            assert!(Lock::new(name).try_acquire(&mut other).unwrap().is_none(), "{name}");
        }
        assert!(guard.is_still_held().unwrap());
        guard.release().unwrap();
        assert!(set.try_acquire(&mut other).unwrap().is_some());
    }
}
