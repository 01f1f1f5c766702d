//! `KILL QUERY` at any moment of a query: its answer is right or it fails, and it can be repeated
//! on the same connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::r2d2::R2D2Connection;
use diesel_locks::{Error, Lock, Server, TableLock};

use crate::support::listings::Listings;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id};
use crate::support::storms::StopOnDrop;
use crate::support::user::User;
use crate::support::{pause, watchdog};

const STORM: Duration = Duration::from_millis(500);
const LOCK: Lock = Lock::new("lock");

fn tables() -> TableLock {
    TableLock::new().write::<audit_log::table>()
}

/// Returns the answer as text, without the parts that change from one moment to the next.
type Query = fn(&mut MysqlConnection) -> Result<String, Error>;

const QUERIES: [(&str, Query); 6] = [
    ("is_held", |conn| LOCK.is_held(conn).map(|held| held.to_string())),
    ("holder", |conn| {
        let holder = LOCK.holder(conn)?;
        Ok(format!("{:?}", holder.map(|holder| (holder.process.id, holder.process.user))))
    }),
    ("waiters", |conn| LOCK.waiters(conn).map(|waiters| format!("{waiters:?}"))),
    ("held_with_prefix", |conn| Lock::held_with_prefix("lo", conn).map(|held| format!("{held:?}"))),
    ("blockers", |conn| {
        let blockers = tables().blockers(conn)?;
        let listed = blockers.iter().map(|blocker| (blocker.process.id, &blocker.mode));
        Ok(format!("{:?}", listed.collect::<Vec<_>>()))
    }),
    ("inspect", |conn| Server::inspect(conn).map(|server| format!("{server:?}"))),
];

/// Returns `None` if the query was killed. `Unsupported` is an answer.
fn answer(query: Query, conn: &mut MysqlConnection) -> Option<String> {
    match query(conn) {
        Ok(text) => Some(text),
        Err(unsupported @ Error::Unsupported { .. }) => Some(unsupported.to_string()),
        Err(Error::Interrupted { .. } | Error::Diesel(_)) => None,
        Err(Error::ConnectionLost(_)) if conn.is_broken() => None,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn a_killed_query_returns_no_wrong_answer_and_can_be_repeated() {
    watchdog(|| {
        let db = Database::with_tables();
        let user = User::new(&db, &["SELECT ON performance_schema.*", "PROCESS ON *.*"]);
        let (mut holder, mut locker) = (db.connect(), db.connect());
        let _lock = LOCK.acquire(&mut holder).unwrap();
        let _tables = tables().acquire(&mut locker).unwrap();
        Listings::each(|_| {
            for (what, query) in QUERIES {
                run_in_a_storm(what, query, || db.connect());
            }
            while_privileges_change(|| {
                for (what, query) in QUERIES {
                    run_in_a_storm(what, query, || db.connect());
                    run_in_a_storm(what, query, || user.connect());
                }
            });
        });
    });
}

/// MySQL reports other error numbers for a query that is killed while it waits to check a
/// privilege.
fn while_privileges_change(body: impl FnOnce()) {
    let db = Database::new();
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                drop(User::new(&db, &[]));
            }
        });
        let _end = StopOnDrop(&over);
        body();
    });
}

fn run_in_a_storm(what: &str, query: Query, connect: impl Fn() -> MysqlConnection) {
    let expected = answer(query, &mut connect()).expect("it is not killed");
    let mut conn = connect();
    let target = AtomicU64::new(connection_id(&mut conn));
    let over = AtomicBool::new(false);
    let (mut answered, mut killed) = (0, 0);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut admin = Admin::new();
            while !over.load(Ordering::SeqCst) {
                for _ in 0..16 {
                    admin.kill_query(target.load(Ordering::SeqCst));
                }
                // Gaps in which queries are answered, however slow the server is.
                (0..10).for_each(|_| pause());
            }
        });
        let _end = StopOnDrop(&over);
        let started = Instant::now();
        while started.elapsed() < STORM || answered == 0 {
            match answer(query, &mut conn) {
                Some(answer) => {
                    assert_eq!(answer, expected, "{what}");
                    answered += 1;
                }
                None => killed += 1,
            }
            // The library closes a connection on which it cannot find out what happened.
            if conn.is_broken() {
                conn = connect();
                target.store(connection_id(&mut conn), Ordering::SeqCst);
            }
        }
    });
    println!("{what}: {answered} answered, {killed} killed");
    // The last kill may still hit the first query.
    let _ = query(&mut conn);
    if conn.is_broken() {
        conn = connect();
    }
    assert_eq!(answer(query, &mut conn), Some(expected), "{what}");
}
