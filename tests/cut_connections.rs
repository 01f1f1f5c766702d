//! Connections that are lost on the way to the server, at every request of every call.

use std::thread;
use std::time::Duration;

use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock};

use crate::support::proxy::{Cut, Proxy};
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::watchdog;

const LOCK: Lock = Lock::new("lock");
const HANGS: Duration = Duration::from_secs(60);

/// A connection whose statements are prepared already.
fn warm(db: &Database, proxy: &Proxy) -> MysqlConnection {
    let mut conn = db.connect_through(proxy);
    LOCK.acquire(&mut conn).unwrap().is_still_held().unwrap();
    conn
}

/// Cuts the connection at each request of a call in turn, in each of the ways, and expects every
/// time an error, a connection that a pool throws away, and a lock that is free again.
fn cut_everywhere(call: fn(&mut MysqlConnection) -> Result<(), Error>) {
    watchdog(HANGS, move || {
        let db = Database::with_tables();
        let mut admin = Admin::new();
        for cut in Cut::ALL {
            let mut requests = 0;
            loop {
                let proxy = Proxy::new();
                let mut conn = warm(&db, &proxy);
                proxy.cut_after(requests, cut);
                let result = call(&mut conn);
                if !proxy.was_cut() {
                    result.unwrap();
                    break;
                }
                let place = format!("{cut:?} at request {requests}");
                assert!(matches!(result, Err(Error::Diesel(_))), "{place}: {result:?}");
                assert!(conn.is_broken(), "{place}");
                admin.until_free(&db.full_name("lock"));
                // Nobody rolled back by hand.
                assert!(LOCK.acquire(&mut conn).is_err(), "{place}");
                requests += 1;
            }
            assert!(requests > 0);
        }
    });
}

#[test]
fn an_acquire_that_loses_its_connection_leaves_nothing_held() {
    cut_everywhere(|conn| LOCK.acquire(conn)?.release().map(drop));
}

#[test]
fn an_acquire_with_a_fraction_that_loses_its_connection_leaves_nothing_held() {
    let lock = |conn: &mut _| {
        LOCK.timeout(Duration::from_millis(9_500)).acquire(conn)?.release().map(drop)
    };
    cut_everywhere(lock);
}

#[test]
fn an_owned_acquire_that_loses_its_connection_leaves_nothing_held() {
    cut_everywhere(|conn| LOCK.acquire_owned(conn)?.release().map(drop));
}

#[test]
fn a_body_that_loses_its_connection_leaves_nothing_held() {
    cut_everywhere(|conn| LOCK.with(conn, |_| Ok(())));
    cut_everywhere(|conn| LOCK.try_with(conn, |_| Ok(())).map(|ran| assert!(ran.is_some())));
}

#[test]
fn a_transaction_that_loses_its_connection_leaves_nothing_held() {
    cut_everywhere(|conn| {
        LOCK.transaction(conn, |conn| {
            diesel::insert_into(audit_log::table)
                .values(audit_log::message.eq("cut"))
                .execute(conn)?;
            Ok(())
        })
    });
}

#[test]
fn a_question_that_loses_its_connection_is_an_error() {
    cut_everywhere(|conn| LOCK.is_held(conn).map(|held| assert!(!held)));
    cut_everywhere(|conn| {
        let mut guard = LOCK.acquire(conn)?;
        let answer = guard.is_still_held().map(|held| assert!(held));
        // Its release could be cut too, and would not tell.
        guard.leak();
        answer
    });
}

#[test]
fn a_lost_transaction_is_committed_or_not_but_never_half() {
    let db = Database::with_tables();
    let rows = |conn: &mut MysqlConnection| audit_log::table.count().get_result::<i64>(conn);
    let mut other = db.connect();
    for cut in Cut::ALL {
        for requests in 0.. {
            let before = rows(&mut other).unwrap();
            let proxy = Proxy::new();
            let mut conn = warm(&db, &proxy);
            let id = connection_id(&mut conn);
            proxy.cut_after(requests, cut);
            let result = LOCK.transaction(&mut conn, |conn| {
                for _ in 0..2 {
                    diesel::insert_into(audit_log::table)
                        .values(audit_log::message.eq("cut"))
                        .execute(conn)?;
                }
                Ok::<_, Error>(())
            });
            let was_cut = proxy.was_cut();
            drop(conn);
            Admin::new().until_gone(id);
            let written = rows(&mut other).unwrap() - before;
            assert!(written == 0 || written == 2, "{written} at request {requests}");
            if !was_cut {
                result.unwrap();
                break;
            }
            assert!(result.is_err());
        }
    }
}

#[test]
fn a_waiter_that_loses_its_connection_leaves_the_lock_to_others() {
    let db = Database::new();
    let (mut holder, mut admin) = (db.connect(), Admin::new());
    for lock in [LOCK, LOCK.timeout(Duration::from_millis(9_500)), LOCK.without_timeout()] {
        let proxy = Proxy::new();
        let mut conn = db.connect_through(&proxy);
        let id = connection_id(&mut conn);
        let held = LOCK.acquire(&mut holder).unwrap();
        thread::scope(|threads| {
            let waiting = threads.spawn(|| lock.acquire(&mut conn).map(drop));
            proxy.until_asked("GET_LOCK");
            admin.until_waiting(id);
            proxy.cut_now();
            let lost = waiting.join().unwrap();
            assert!(matches!(lost, Err(Error::Diesel(_))), "{lost:?}");
        });
        assert!(conn.is_broken());
        held.release().unwrap();
        // The server may grant it to the lost connection first, and then finds nobody to tell.
        admin.until_free(&db.full_name("lock"));
    }
}

#[test]
fn a_holder_that_loses_its_connection_is_told_and_the_lock_is_free() {
    let db = Database::new();
    let mut admin = Admin::new();
    for dropped in [false, true] {
        let proxy = Proxy::new();
        let mut conn = warm(&db, &proxy);
        let mut guard = LOCK.acquire(&mut conn).unwrap();
        proxy.cut_now();
        if dropped {
            drop(guard);
        } else {
            assert!(matches!(guard.is_still_held(), Err(Error::Diesel(_))));
            let lost = guard.release().map(drop);
            assert!(matches!(lost, Err(Error::Diesel(_))), "{lost:?}");
        }
        assert!(conn.is_broken());
        admin.until_free(&db.full_name("lock"));
    }
}

#[test]
fn a_release_that_loses_its_connection_is_an_error_and_the_lock_is_free() {
    let db = Database::new();
    let mut admin = Admin::new();
    for cut in Cut::ALL {
        for dropped in [false, true] {
            let proxy = Proxy::new();
            let mut conn = warm(&db, &proxy);
            let guard = LOCK.acquire(&mut conn).unwrap();
            proxy.cut_after(0, cut);
            if dropped {
                drop(guard);
            } else {
                let lost = guard.release().map(drop);
                assert!(matches!(lost, Err(Error::Diesel(_))), "{cut:?}: {lost:?}");
            }
            assert!(proxy.was_cut());
            assert!(conn.is_broken());
            admin.until_free(&db.full_name("lock"));
        }
    }
}
