//! Random lock names: each is used unchanged, or refused.

use std::cell::RefCell;

use diesel_locks::{Error, Lock};
use proptest::prelude::*;

use crate::support::random_names::{any_character, character, name, runner};
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};

/// Returns whether the server accepts the full name of a lock.
fn is_lock_name(name: &str, full_name: &str) -> bool {
    let fits = if server::is_mysql() {
        full_name.chars().count() <= 64 && full_name.chars().all(|c| c <= '\u{ffff}')
    } else {
        full_name.len() <= 192
    };
    fits && !name.is_empty() && !name.contains('\0')
}

#[test]
fn any_lock_name_is_used_unchanged_or_refused() {
    let db = Database::new();
    let mut conn = db.connect();
    let id = connection_id(&mut conn);
    let (conn, admin) = (RefCell::new(conn), RefCell::new(Admin::new()));
    let names = prop_oneof![3 => name(character(), 60), 1 => name(any_character(), 110)];
    runner()
        .run(&names, |name| {
            let (conn, admin) = (&mut *conn.borrow_mut(), &mut *admin.borrow_mut());
            let full_name = db.full_name(&name);
            match Lock::new(&name).acquire(conn) {
                Ok(mut guard) => {
                    prop_assert!(is_lock_name(&name, &full_name));
                    prop_assert_eq!(admin.holder(&full_name), Some(id));
                    prop_assert!(guard.is_still_held().unwrap());
                    guard.release().unwrap();
                    prop_assert_eq!(admin.holder(&full_name), None);
                }
                Err(error) => {
                    prop_assert!(matches!(error, Error::InvalidName { .. }), "{error:?}");
                    prop_assert!(!is_lock_name(&name, &full_name));
                }
            }
            prop_assert_eq!(count_and_release_locks(conn), 0);
            Ok(())
        })
        .unwrap();
}
