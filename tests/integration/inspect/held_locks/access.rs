//! Listing held locks with few privileges and inside a table lock, and its cost.

use diesel_locks::{Lock, TableLock};

use crate::support::alone;
use crate::support::listings::Listings;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{self};
use crate::support::user::User;

use super::{held, hold, refused};

#[test]
fn a_user_with_few_privileges_sees_everything_or_learns_what_is_missing() {
    let db = Database::new();
    let user = User::new(&db, &[]);
    Listings::each(|listings| {
        let (mut conn, mut root, mut holder) = (user.connect(), db.connect(), db.connect());
        hold(&mut holder, &["lock"]);
        if listings.plugin {
            assert_eq!(held("", &mut conn), ["lock"]);
        } else {
            let remedy = refused(&mut conn);
            let expected = match (server::is_mysql(), listings.performance_schema) {
                (true, _) => &["`SELECT` on `performance_schema.*`"][..],
                (false, true) => &["INSTALL SONAME", "`SELECT` on `performance_schema.*`"],
                (false, false) => &["INSTALL SONAME"],
            };
            assert!(expected.iter().all(|part| remedy.contains(part)), "{remedy}");
        }
        // A refusal for one user does not affect another one.
        if listings.any() {
            assert_eq!(held("", &mut root), ["lock"]);
            assert_eq!(held("", &mut root), ["lock"]);
        }
    });
}

#[test]
fn the_privilege_that_the_error_names_is_enough() {
    let db = Database::new();
    let user = User::new(&db, &["SELECT ON performance_schema.*"]);
    Listings::each(|listings| {
        if listings.any() {
            let mut holder = db.connect();
            hold(&mut holder, &["lock"]);
            assert_eq!(held("", &mut user.connect()), ["lock"]);
        }
    });
}

#[test]
fn inside_a_table_lock_the_list_works_or_the_error_says_why_not() {
    let db = Database::with_tables();
    Listings::each(|listings| {
        let mut conn = db.connect();
        let mut holder = db.connect();
        hold(&mut holder, &["lock"]);
        let mut guard = TableLock::new().read_table("places").acquire(&mut conn).unwrap();
        if listings.plugin {
            assert_eq!(held("", &mut guard), ["lock"]);
        } else if listings.performance_schema {
            let remedy = refused(&mut guard);
            assert!(remedy.contains("another connection"), "{remedy}");
        } else {
            refused(&mut guard);
        }
        guard.release().unwrap();
        // The refusal is not remembered.
        if listings.any() {
            assert_eq!(held("", &mut conn), ["lock"]);
        }
    });
}

alone! {
    fn a_list_of_held_locks_costs_three_round_trips() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let user = User::new(&db, &[]);
        Listings::each(|listings| {
            if !listings.any() {
                return;
            }
            let conn = &mut db.connect_through(&proxy);
            Lock::held_with_prefix("", conn).unwrap();
            // The inspection is cached, the list is not.
            for _ in 0..2 {
                proxy.expect("held_with_prefix", 3, || {
                    Lock::held_with_prefix("", conn).unwrap();
                });
            }
            if !listings.plugin {
                let _ = Lock::held_with_prefix("", &mut user.connect());
                // The two queries for unprivileged users are prepared, and then the cached one is
                // used.
                proxy.expect("held_with_prefix after another user", 7, || {
                    Lock::held_with_prefix("", conn).unwrap();
                });
                proxy.expect("held_with_prefix", 3, || {
                    Lock::held_with_prefix("", conn).unwrap();
                });
            }
        });
    }
}
