//! Connections that are cut or killed at any request of a call.

use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock, with_lock};

use crate::support::cuts::{Call, LOCK, cut_everywhere, in_body, warm};
use crate::support::proxy::{Cut, Proxy};
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::log;
use crate::support::watchdog;

/// Each call that acquires or releases the lock.
const LOCKING: [(&str, Call); 15] = [
    ("acquire", |conn| LOCK.acquire(conn)?.release().map(drop)),
    ("acquire with a fraction", |conn| {
        LOCK.timeout(Duration::from_millis(9_500)).acquire(conn)?.release().map(drop)
    }),
    ("acquire without a timeout", |conn| LOCK.without_timeout().acquire(conn)?.release().map(drop)),
    ("acquire of a server-wide lock", |conn| LOCK.server_wide().acquire(conn)?.release().map(drop)),
    ("acquire of a shortened lock", |conn| {
        Lock::new(&"lock".repeat(20)).shortened().acquire(conn)?.release().map(drop)
    }),
    ("try_acquire", |conn| {
        LOCK.try_acquire(conn)?.expect("no other connection holds it").release().map(drop)
    }),
    ("acquire_owned", |conn| LOCK.acquire_owned(conn)?.release().map(drop)),
    ("with", |conn| LOCK.with(conn, |_| Ok(()))),
    ("try_with", |conn| LOCK.try_with(conn, |_| Ok(())).map(|ran| assert!(ran.is_some()))),
    ("#[with_lock]", |conn| {
        #[with_lock("lock")]
        fn body(conn: &mut MysqlConnection) -> Result<(), Error> {
            in_body(|| conn.batch_execute("DO 0")).map_err(Error::Diesel)
        }
        body(conn)
    }),
    ("transaction", |conn| {
        LOCK.transaction(conn, |conn| {
            in_body(|| log(conn, "cut"))?;
            Ok(())
        })
    }),
    ("acquire of a fenced lock", |conn| LOCK.fenced().acquire(conn)?.release().map(drop)),
    ("transaction of a fenced lock", |conn| {
        LOCK.fenced().transaction(conn, |conn| {
            in_body(|| log(conn, "cut"))?;
            Ok(())
        })
    }),
    ("leak and release", |conn| {
        let conn = LOCK.acquire(conn)?.leak();
        LOCK.release(conn)
    }),
    ("leak and release_all", |conn| {
        let conn = LOCK.acquire(conn)?.leak();
        Lock::release_all(conn).map(|count| assert_eq!(count, 1))
    }),
];

#[test]
fn a_call_that_loses_its_connection_leaves_nothing_held() {
    watchdog(|| {
        for (what, call) in LOCKING {
            cut_everywhere(what, call);
        }
    });
}

#[test]
fn a_transaction_that_loses_its_connection_is_never_half_committed() {
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
                log(conn, "one")?;
                log(conn, "two")?;
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
            proxy.until_requested("GET_LOCK");
            admin.until_waiting(id);
            proxy.cut_now();
            let lost = waiting.join().unwrap();
            assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
        });
        assert!(conn.is_broken());
        held.release().unwrap();
        // The server may first grant the lock to the lost connection, and notice the loss only
        // then.
        admin.until_free(&db.full_name("lock"));
    }
}

#[test]
fn a_holder_that_loses_its_connection_gets_an_error_and_the_lock_is_free() {
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
            assert!(matches!(guard.is_still_held(), Err(Error::ConnectionLost(_))));
            let lost = guard.release().map(drop);
            assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{lost:?}");
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
                assert!(matches!(lost, Err(Error::ConnectionLost(_))), "{cut:?}: {lost:?}");
            }
            assert!(proxy.was_cut());
            assert!(conn.is_broken());
            admin.until_free(&db.full_name("lock"));
        }
    }
}
