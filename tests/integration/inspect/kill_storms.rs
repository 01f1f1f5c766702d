//! `KILL QUERY` at any moment of a question: it is answered as ever, or fails, and can be asked again
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

/// What is answered, as text; without what differs from one moment to the next.
type Question = fn(&mut MysqlConnection) -> Result<String, Error>;

const QUESTIONS: [(&str, Question); 6] = [
    ("is_held", |conn| LOCK.is_held(conn).map(|held| held.to_string())),
    ("holder", |conn| {
        let holder = LOCK.holder(conn)?;
        Ok(format!("{:?}", holder.map(|holder| (holder.connection_id, holder.user))))
    }),
    ("waiters", |conn| LOCK.waiters(conn).map(|waiters| format!("{waiters:?}"))),
    ("held_with_prefix", |conn| Lock::held_with_prefix("lo", conn).map(|held| format!("{held:?}"))),
    ("blockers", |conn| {
        let blockers = tables().blockers(conn)?;
        let told = blockers.iter().map(|blocker| (blocker.connection_id, &blocker.mode));
        Ok(format!("{:?}", told.collect::<Vec<_>>()))
    }),
    ("inspect", |conn| Server::inspect(conn).map(|server| format!("{server:?}"))),
];

/// `None` where it was struck; that a server does not tell is an answer.
fn answer(question: Question, conn: &mut MysqlConnection) -> Option<String> {
    match question(conn) {
        Ok(text) => Some(text),
        Err(unsupported @ Error::Unsupported { .. }) => Some(unsupported.to_string()),
        Err(Error::Interrupted { .. } | Error::Diesel(_)) => None,
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
            for (what, question) in QUESTIONS {
                ask_in_a_storm(what, question, || db.connect());
            }
            while_privileges_change(|| {
                for (what, question) in QUESTIONS {
                    ask_in_a_storm(what, question, || db.connect());
                    ask_in_a_storm(what, question, || user.connect());
                }
            });
        });
    });
}

/// MySQL has other numbers for what is killed while it waits to look a privilege up.
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

fn ask_in_a_storm(what: &str, question: Question, connect: impl Fn() -> MysqlConnection) {
    let expected = answer(question, &mut connect()).expect("nobody kills it");
    let mut conn = connect();
    let target = AtomicU64::new(connection_id(&mut conn));
    let over = AtomicBool::new(false);
    let (mut answered, mut struck) = (0, 0);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut admin = Admin::new();
            while !over.load(Ordering::SeqCst) {
                for _ in 0..16 {
                    admin.kill_query(target.load(Ordering::SeqCst));
                }
                // Gaps in which something is answered, however slow the server is.
                (0..10).for_each(|_| pause());
            }
        });
        let _end = StopOnDrop(&over);
        let started = Instant::now();
        while started.elapsed() < STORM || answered == 0 {
            match answer(question, &mut conn) {
                Some(answer) => {
                    assert_eq!(answer, expected, "{what}");
                    answered += 1;
                }
                None => struck += 1,
            }
            // A connection that cannot be asked what happened is given up.
            if conn.is_broken() {
                conn = connect();
                target.store(connection_id(&mut conn), Ordering::SeqCst);
            }
        }
    });
    println!("{what}: {answered} answered, {struck} struck");
    // The kill that came last may still strike the first one.
    let _ = question(&mut conn);
    if conn.is_broken() {
        conn = connect();
    }
    assert_eq!(answer(question, &mut conn), Some(expected), "{what}");
}
