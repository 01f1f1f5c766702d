//! A server that stops while connections hold locks and wait for them, and comes back.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock, TableLock};

use crate::support::private_server::PrivateServer;
use crate::support::schema::{audit_log, customers, places, restaurants};
use crate::support::server::{Admin, connection_id};
use crate::support::table_checks::log;
use crate::support::{until, watchdog};

const WAITED_FOR: Lock = Lock::new("waited for").timeout(Duration::from_secs(100));

/// Acquires a lock, holds it while the second argument runs, and releases it.
type Holder = fn(&mut MysqlConnection, &dyn Fn()) -> Result<(), Error>;

const HOLDERS: [(&str, Holder); 9] = [
    ("release", |conn, hold| {
        let mut guard = WAITED_FOR.acquire(conn)?;
        hold();
        assert!(guard.is_still_held().is_err());
        guard.release().map(drop)
    }),
    ("release of what was leaked", |conn, hold| {
        Lock::new("leaked").acquire(conn)?.leak();
        hold();
        Lock::new("leaked").release(conn)
    }),
    ("release_all", |conn, hold| {
        Lock::new("one of all").acquire(conn)?.leak();
        hold();
        Lock::release_all(conn).map(drop)
    }),
    ("with", |conn, hold| {
        Lock::new("with").with(conn, |_| {
            hold();
            Ok(())
        })
    }),
    ("try_with", |conn, hold| {
        let ran = Lock::new("try_with").try_with(conn, |_| {
            hold();
            Ok::<_, Error>(())
        });
        ran.map(drop)
    }),
    ("transaction", |conn, hold| {
        Lock::new("transaction").transaction(conn, |conn| {
            diesel::insert_into(customers::table)
                .values((customers::name.eq("lost"), customers::restaurant_id.eq(1)))
                .execute(conn)?;
            hold();
            Ok(())
        })
    }),
    ("table lock", |conn, hold| {
        TableLock::new().write::<audit_log::table>().with(conn, |conn| {
            log(conn, "lost")?;
            hold();
            Ok(())
        })
    }),
    ("release of a table lock", |conn, hold| {
        let mut guard = TableLock::new().write::<places::table>().acquire(conn)?;
        diesel::insert_into(places::table).values(places::name.eq("lost")).execute(&mut *guard)?;
        hold();
        guard.release().map(drop)
    }),
    ("rollback of a table lock", |conn, hold| {
        let guard = TableLock::new().write::<restaurants::table>().acquire(conn)?;
        hold();
        guard.rollback().map(drop)
    }),
];

type Waiter = fn(&mut MysqlConnection) -> Result<(), Error>;

const WAITERS: [(&str, Waiter); 5] = [
    ("whole seconds", |conn| WAITED_FOR.acquire(conn)?.release().map(drop)),
    ("a fraction", |conn| {
        WAITED_FOR.timeout(Duration::from_millis(99_500)).acquire(conn)?.release().map(drop)
    }),
    ("without a timeout", |conn| WAITED_FOR.without_timeout().with(conn, |_| Ok(()))),
    ("for tables", |conn| {
        TableLock::new().read::<audit_log::table>().acquire(conn)?.release().map(drop)
    }),
    ("for tables, with a timeout", |conn| {
        let lock = TableLock::new().write::<places::table>().timeout(Duration::from_secs(100));
        lock.with(conn, |_| Ok(()))
    }),
];

/// Stops the server while each of the above holds or waits, and restarts it.
fn survives(end: fn(&mut PrivateServer), waiters_always_fail: bool) {
    watchdog(move || {
        let Some(mut server) = PrivateServer::start() else { return };
        log(&mut server.connect("shop"), "committed").unwrap();
        let pool = server.pool(2);
        let (all_hold, ended) = (Barrier::new(HOLDERS.len() + 2), Barrier::new(HOLDERS.len() + 2));
        let hold = &|| {
            all_hold.wait();
            ended.wait();
        };
        thread::scope(|threads| {
            let holders: Vec<_> = HOLDERS
                .iter()
                .map(|(what, holder)| {
                    let mut conn = server.connect("shop");
                    threads.spawn(move || {
                        let result = holder(&mut conn, hold);
                        assert!(
                            matches!(result, Err(Error::ConnectionLost(_))),
                            "{what}: {result:?}"
                        );
                        assert!(conn.is_broken(), "{what}");
                    })
                })
                .collect();
            let pooled = threads.spawn(|| {
                let guard = Lock::new("pooled").acquire_owned(pool.get().unwrap()).unwrap();
                let dropped = Lock::new("dropped").acquire_owned(pool.get().unwrap()).unwrap();
                hold();
                let result = guard.release().map(drop);
                assert!(matches!(result, Err(Error::ConnectionLost(_))), "{result:?}");
                drop(dropped);
            });
            all_hold.wait();

            let mut admin = Admin(server.connect(""));
            let waiting: Vec<_> = WAITERS
                .iter()
                .map(|(what, waiter)| {
                    let mut conn = server.connect("shop");
                    let id = connection_id(&mut conn);
                    let waiting = threads.spawn(move || {
                        let result = waiter(&mut conn);
                        match &result {
                            Ok(()) => assert!(!waiters_always_fail, "{what}"),
                            Err(error) => {
                                let lost = matches!(error, Error::ConnectionLost(_));
                                assert!(lost, "{what}: {error:?}");
                            }
                        }
                        assert!(conn.batch_execute("DO 0").is_err(), "{what}: {result:?}");
                        assert!(result.is_ok() || conn.is_broken(), "{what}: {result:?}");
                    });
                    admin.until_waiting(id);
                    waiting
                })
                .collect();
            end(&mut server);
            // The waiters get their answers although no holder has released its lock yet.
            let waited: Vec<_> = waiting.into_iter().map(thread::ScopedJoinHandle::join).collect();
            ended.wait();
            for holder in holders {
                holder.join().unwrap();
            }
            pooled.join().unwrap();
            for waiter in waited {
                waiter.unwrap();
            }
        });
        until("the pool has thrown both away", || pool.state().connections == 0);
        server.start_again();
        expect_all_free(&server);
        // The pool opens new ones by itself.
        let guard = Lock::new("pooled").acquire_owned(pool.get().unwrap()).unwrap();
        guard.release().unwrap();
    });
}

fn expect_all_free(server: &PrivateServer) {
    let mut conn = server.connect("shop");
    for name in [
        "waited for",
        "leaked",
        "one of all",
        "with",
        "try_with",
        "transaction",
        "pooled",
        "dropped",
    ] {
        assert!(!Lock::new(name).is_held(&mut conn).unwrap(), "{name}");
        assert!(Lock::new(name).try_acquire(&mut conn).unwrap().is_some(), "{name}");
    }
    let tables = TableLock::new()
        .write::<audit_log::table>()
        .write::<customers::table>()
        .write::<places::table>()
        .write::<restaurants::table>()
        .timeout(Duration::from_secs(60));
    tables
        .with(&mut conn, |conn| -> QueryResult<()> {
            let messages: Vec<String> = audit_log::table.select(audit_log::message).load(conn)?;
            assert_eq!(messages, ["committed"]);
            assert_eq!(customers::table.count().get_result::<i64>(conn)?, 0);
            assert_eq!(places::table.count().get_result::<i64>(conn)?, 0);
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_killed_server_frees_every_lock_and_fails_every_call() {
    survives(PrivateServer::kill, true);
}

#[test]
fn a_server_that_is_shut_down_frees_every_lock_and_fails_every_holder() {
    // A waiter may still get the lock of a holder that was disconnected before it.
    survives(PrivateServer::terminate, false);
}
