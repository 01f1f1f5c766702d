//! The connections that wait for a named lock.

use std::thread;

use diesel::prelude::*;
use diesel_locks::{Error, Lock};

use crate::support::listings::Listings;
use crate::support::proxy::Proxy;
use crate::support::schema::Database;
use crate::support::server::{self, Admin, connection_id};
use crate::support::user::User;
use crate::support::{PATIENCE, alone, watchdog};

const LOCK: Lock = Lock::new("Lock").without_timeout();

/// Runs the body while the connections wait for the lock.
fn while_waited_for(
    db: &Database,
    lock: Lock<'_>,
    waiting: Vec<MysqlConnection>,
    body: impl FnOnce(&[u64]),
) {
    let mut holder = db.connect();
    let guard = lock.acquire(&mut holder).unwrap();
    let mut admin = Admin::new();
    thread::scope(|threads| {
        let mut ids = Vec::new();
        for mut conn in waiting {
            ids.push(connection_id(&mut conn));
            threads.spawn(move || lock.acquire(&mut conn).unwrap().release().map(drop).unwrap());
        }
        for id in &ids {
            admin.until_waiting(*id);
        }
        // The test must end even if its body fails.
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(&ids)));
        guard.release().unwrap();
        if let Err(panic) = failed {
            std::panic::resume_unwind(panic);
        }
    });
}

fn refused(conn: &mut MysqlConnection) -> String {
    match LOCK.waiters(conn) {
        Err(Error::Unsupported { remedy, .. }) => remedy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn waiters_are_listed_if_the_server_lists_them() {
    watchdog(|| {
        let db = Database::new();
        // The plugin does not list waiters, so it must not be queried.
        let listings = Listings::with_plugin();
        let mut conn = db.connect();
        if !listings.performance_schema {
            let remedy = refused(&mut conn);
            assert!(remedy.contains("performance_schema"), "{remedy}");
            return;
        }
        assert_eq!(LOCK.waiters(&mut conn).unwrap(), []);
        let long = "n".repeat(100);
        for lock in [LOCK, LOCK.server_wide(), Lock::new(&long).without_timeout().shortened()] {
            while_waited_for(&db, lock, vec![db.connect(), db.connect()], |ids| {
                let waiters = lock.waiters(&mut conn).unwrap();
                let mut seen: Vec<_> = waiters.iter().map(|waiter| waiter.process.id).collect();
                seen.sort_unstable();
                assert_eq!(seen, ids);
                for waiter in &waiters {
                    assert_eq!(waiter.process.database.as_deref(), Some(db.name()));
                    assert!(
                        waiter.process.user.is_some() && waiter.process.host.is_some(),
                        "{waiter:?}"
                    );
                    assert!(waiter.process.in_state.unwrap() < PATIENCE, "{waiter:?}");
                    assert!(waiter.process.statement.as_deref().unwrap().contains("GET_LOCK"));
                    assert!(waiter.to_string().contains(": waiting for "), "{waiter}");
                }
                assert_eq!(Lock::new("other").waiters(&mut conn).unwrap(), []);
                let same = Lock::new("lock").waiters(&mut conn).unwrap();
                assert_eq!(same.len(), if server::is_mysql() && lock == LOCK { 2 } else { 0 });
            });
            assert_eq!(lock.waiters(&mut conn).unwrap(), []);
        }
    });
}

#[test]
fn a_user_with_few_privileges_learns_what_is_missing() {
    let db = Database::new();
    let user = User::new(&db, &[]);
    let listings = Listings::with_plugin();
    let remedy = refused(&mut user.connect());
    let expected = if listings.performance_schema {
        "`SELECT` on `performance_schema.*`"
    } else {
        "performance_schema = ON"
    };
    assert!(remedy.contains(expected), "{remedy}");
}

#[test]
fn a_name_that_the_server_lists_truncated_is_refused() {
    if server::is_mysql() {
        return;
    }
    let db = Database::new();
    let listings = Listings::with_plugin();
    for name in ["🔒", &"n".repeat(70)] {
        let waiters = Lock::new(name).waiters(&mut db.connect());
        assert!(matches!(waiters, Err(Error::Unsupported { .. })), "{waiters:?}");
    }
    drop(listings);
}

alone! {
    fn the_holder_costs_three_round_trips_and_the_waiters_four() {
        let (db, proxy) = (Database::new(), Proxy::new());
        let listings = Listings::without_plugin();
        let conn = &mut db.connect_through(&proxy);
        LOCK.holder(conn).unwrap();
        proxy.expect("holder of a free lock", 1, || assert!(LOCK.holder(conn).unwrap().is_none()));
        let mut other = db.connect();
        let _held = LOCK.acquire(&mut other).unwrap();
        proxy.expect("holder", 3, || assert!(LOCK.holder(conn).unwrap().is_some()));
        if listings.performance_schema {
            LOCK.waiters(conn).unwrap();
            proxy.expect("waiters", 4, || assert!(LOCK.waiters(conn).unwrap().is_empty()));
        }
    }
}
