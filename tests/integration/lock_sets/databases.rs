//! The database in the names of a set.

use diesel_locks::{Error, Lock};

use crate::support::alone;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};

#[test]
fn all_locks_of_a_set_are_in_the_connections_database() {
    let (db, other_db) = (Database::new(), Database::new());
    let (mut conn, mut other, mut admin) = (db.connect(), other_db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let set = Lock::all(["a", "b", "c", "d"]);
    for _ in 0..3 {
        // The library now assumes the other database.
        set.acquire(&mut other).unwrap().release().unwrap();
        let guard = set.acquire(&mut conn).unwrap();
        for name in set.names() {
            assert_eq!(admin.holder(&db.full_name(name)), Some(id));
        }
        assert!(set.try_acquire(&mut other).unwrap().is_some());
        guard.release().unwrap();
        assert_eq!(count_and_release_locks(&mut conn), 0);
    }
}

#[test]
fn a_set_can_be_in_another_database_or_in_none() {
    let db = Database::new();
    let (mut conn, mut admin) = (db.connect(), Admin::new());
    let id = connection_id(&mut conn);
    let (one, two) = (db.full_name("a"), db.full_name("b"));
    let sets = [
        Lock::all(["b", "a"]).in_database(db.name()),
        Lock::all([&two, &one]).server_wide(),
        Lock::all(["b", "a"]).in_database(db.name()).shortened(),
    ];
    for mut without in [db.connect(), server::connect()] {
        for set in &sets {
            let guard = set.acquire(&mut conn).unwrap();
            assert_eq!(admin.holder(&one), Some(id));
            assert_eq!(admin.holder(&two), Some(id));
            assert!(set.try_acquire(&mut without).unwrap().is_none());
            guard.release().unwrap();
            assert!(set.try_acquire(&mut without).unwrap().is_some());
        }
    }
}

#[test]
fn a_set_without_a_database_is_an_error() {
    let db = Database::new();
    Lock::all(["a", "b"]).acquire(&mut db.connect()).unwrap().release().unwrap();
    let mut conn = server::connect();
    let refused = Lock::all(["a", "b"]).acquire(&mut conn).map(drop);
    assert!(matches!(refused, Err(Error::NoDatabase)), "{refused:?}");
    assert_eq!(count_and_release_locks(&mut conn), 0);
}

alone! {
    fn after_use_all_locks_of_a_set_are_in_one_database() {
        let (db, other_db) = (Database::new(), Database::new());
        let (mut conn, mut other, mut admin) = (db.connect(), other_db.connect(), Admin::new());
        let set = Lock::all(["a", "b", "c"]);
        // The single locks' statements are prepared in the first database, those of the set in the
        // second.
        Lock::new("a").acquire(&mut conn).unwrap().release().unwrap();
        other_db.enter(&mut conn);
        for round in 0..4 {
            if round % 2 == 0 {
                set.acquire(&mut other).unwrap().release().unwrap();
            }
            let guard = set.acquire(&mut conn).unwrap();
            let mut held_in = |db: &Database| {
                set.names().filter(|name| admin.holder(&db.full_name(name)).is_some()).count()
            };
            let held = (held_in(&db), held_in(&other_db));
            assert!(held == (3, 0) || held == (0, 3), "round {round}: {held:?}");
            guard.release().unwrap();
            assert_eq!(count_and_release_locks(&mut conn), 0);
        }
    }
}
