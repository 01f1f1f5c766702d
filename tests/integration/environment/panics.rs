//! Panics in the body, in Diesel's instrumentation, in a `tracing` subscriber and in destructors:
//! no lock is left held, no pool gets such a connection back, and the process goes on.
//!
//! Each test is a separate process, so that one that aborts fails.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use diesel::connection::{Connection, Instrumentation, InstrumentationEvent, SimpleConnection};
use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;
use diesel_locks::{Error, Lock, TableLock, with_lock, with_table_lock};

use crate::support::alone;
use crate::support::schema::{Database, audit_log};
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{
    depth, has_locked_tables, has_open_transaction, is_broken, log, logged, session, until_all_free,
};

pub(super) const LOCK: Lock = Lock::new("lock");

pub(super) fn tables() -> TableLock {
    TableLock::new().write::<audit_log::table>().timeout(Duration::from_secs(9))
}

/// The payload of every panic here, whose message is not printed.
#[derive(Debug)]
pub(super) struct Planned;

pub(super) fn panic() -> ! {
    std::panic::panic_any(Planned)
}

/// Does not print the panics that are planned.
pub(super) fn silently<T>(work: impl FnOnce() -> T) -> T {
    let hook = take_hook();
    set_hook(Box::new(move |info| {
        if !info.payload().is::<Planned>() {
            hook(info);
        }
    }));
    work()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Succeeds,
    Fails,
    Panics,
}

impl Body {
    pub(super) fn run(self, conn: &mut MysqlConnection) -> Result<(), Error> {
        log(conn, "row")?;
        match self {
            Self::Succeeds => Ok(()),
            Self::Fails => Err(DieselError::NotFound.into()),
            Self::Panics => panic(),
        }
    }
}

type Way = fn(&mut MysqlConnection, Body) -> Result<(), Error>;

#[with_lock("lock")]
fn locked(conn: &mut MysqlConnection, body: Body) -> Result<(), Error> {
    body.run(conn)
}

#[with_lock("lock", transaction)]
fn in_transaction(conn: &mut MysqlConnection, body: Body) -> Result<(), Error> {
    body.run(conn)
}

#[with_lock("lock", if_busy = Ok(()))]
fn if_free(conn: &mut MysqlConnection, body: Body) -> Result<(), Error> {
    body.run(conn)
}

#[with_table_lock(write(audit_log::table))]
fn locked_tables(conn: &mut MysqlConnection, body: Body) -> Result<(), Error> {
    body.run(conn)
}

/// Everything that takes a lock and ends it.
pub(super) const WAYS: [(&str, Way); 16] = [
    ("with", |conn, body| LOCK.with(conn, |conn| body.run(conn))),
    ("try_with", |conn, body| LOCK.try_with(conn, |conn| body.run(conn)).map(drop)),
    ("a fraction of a second", |conn, body| {
        LOCK.timeout(Duration::from_millis(1_500)).with(conn, |conn| body.run(conn))
    }),
    ("transaction", |conn, body| LOCK.transaction(conn, |conn| body.run(conn))),
    ("release", |conn, body| {
        let mut guard = LOCK.acquire(conn)?;
        body.run(&mut guard)?;
        guard.release().map(drop)
    }),
    ("drop", |conn, body| body.run(&mut *LOCK.acquire(conn)?)),
    ("two guards", |conn, body| {
        let mut outer = LOCK.acquire(conn)?;
        let mut inner = Lock::new("inner").acquire(&mut outer)?;
        body.run(&mut inner)
    }),
    ("a guard's transaction", |conn, body| LOCK.acquire(conn)?.transaction(|conn| body.run(conn))),
    ("leak", |conn, body| {
        let conn = LOCK.acquire(conn)?.leak();
        let leaked = Release(conn);
        body.run(leaked.0)
    }),
    ("with_lock", locked),
    ("with_lock, transaction", in_transaction),
    ("with_lock, if_busy", if_free),
    ("tables", |conn, body| tables().with(conn, |conn| body.run(conn))),
    ("tables, release", |conn, body| {
        let mut guard = tables().acquire(conn)?;
        body.run(&mut guard)?;
        guard.release().map(drop)
    }),
    ("tables, rollback", |conn, body| {
        let mut guard = tables().acquire(conn)?;
        body.run(&mut guard)?;
        guard.rollback().map(drop)
    }),
    ("with_table_lock", locked_tables),
];

/// A caller's own destructor that releases.
struct Release<'c>(&'c mut MysqlConnection);

impl Drop for Release<'_> {
    fn drop(&mut self) {
        let conn = &mut *self.0;
        let _ = catch_unwind(AssertUnwindSafe(|| Lock::release_all(conn)));
    }
}

/// Panics at one event, or at all from one on.
struct PanicsAt {
    seen: Arc<AtomicUsize>,
    first: usize,
    all: bool,
}

impl Instrumentation for PanicsAt {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        let event = self.seen.fetch_add(1, Relaxed);
        if event == self.first || (self.all && event > self.first) {
            panic();
        }
    }
}

/// Expects that nothing is left held, and returns the connection to normal.
#[track_caller]
pub(super) fn expect_nothing_left(what: &str, conn: &mut MysqlConnection, id: u64, db: &Database) {
    conn.set_instrumentation(|_: InstrumentationEvent<'_>| {});
    let mut admin = Admin::new();
    if is_broken(conn) {
        admin.until_gone(id);
        assert!(conn.batch_execute("DO 0").is_err(), "{what}");
    } else {
        assert_eq!(depth(conn), Some(0), "{what}");
        assert!(!has_open_transaction(conn), "{what}");
        assert!(!has_locked_tables(conn), "{what}");
        let found = session(&mut db.connect());
        assert_eq!(session(conn), found, "{what}");
        assert_eq!(count_and_release_locks(conn), 0, "{what}");
    }
    assert_eq!(admin.holder(&db.full_name("lock")), None, "{what}");
    assert_eq!(admin.holder(&db.full_name("inner")), None, "{what}");
    until_all_free(db);
}

#[track_caller]
pub(super) fn expect_planned(what: &str, panic: &(dyn Any + Send)) {
    assert!(panic.is::<Planned>(), "{what}: another panic");
}

/// Panics at each event of a call in turn, until the call has no more.
fn panic_at_each_event(way: &str, run: Way, body: Body, all: bool) {
    let db = Database::with_tables();
    for first in 0.. {
        let what = format!("{way}, body {body:?}, event {first}, all after it: {all}");
        let mut conn = db.connect();
        let id = connection_id(&mut conn);
        let seen = Arc::new(AtomicUsize::new(0));
        conn.set_instrumentation(PanicsAt { seen: Arc::clone(&seen), first, all });
        let result = catch_unwind(AssertUnwindSafe(|| run(&mut conn, body)));
        let is_over = seen.load(Relaxed) <= first;
        match result {
            Ok(ended) => {
                // A destructor swallows a panic.
                let is_body = if body == Body::Fails { ended.is_err() } else { ended.is_ok() };
                assert!(is_body || !is_over, "{what}: {ended:?}");
            }
            Err(panic) => expect_planned(&what, &*panic),
        }
        expect_nothing_left(&what, &mut conn, id, &db);
        if is_over {
            return;
        }
    }
}

fn panic_everywhere(ways: &[(&str, Way)], all: bool) {
    silently(|| {
        for (way, run) in ways {
            for body in [Body::Succeeds, Body::Fails, Body::Panics] {
                panic_at_each_event(way, *run, body, all);
            }
        }
    });
}

alone! {
    fn a_panic_in_the_body_leaves_nothing_held_and_the_connection_usable() {
        silently(|| {
            for (way, run) in WAYS {
                let db = Database::with_tables();
                let mut conn = db.connect();
                let id = connection_id(&mut conn);
                let result = catch_unwind(AssertUnwindSafe(|| run(&mut conn, Body::Panics)));
                expect_planned(way, &*result.unwrap_err());
                assert!(!is_broken(&mut conn), "{way}");
                expect_nothing_left(way, &mut conn, id, &db);
                let is_transaction = way.contains("transaction") || way.contains("table");
                assert_eq!(logged(&db).is_empty(), is_transaction, "{way}");
                run(&mut conn, Body::Succeeds).unwrap();
            }
        });
    }

    fn a_panic_at_any_event_of_a_named_lock_leaves_nothing_held() {
        panic_everywhere(&WAYS[..6], false);
    }

    fn a_panic_at_any_event_of_a_guard_or_an_attribute_leaves_nothing_held() {
        panic_everywhere(&WAYS[6..12], false);
    }

    fn a_panic_at_any_event_of_a_table_lock_leaves_nothing_held() {
        panic_everywhere(&WAYS[12..], false);
    }

    fn panics_at_every_event_of_a_named_lock_leave_nothing_held() {
        panic_everywhere(&WAYS[..12], true);
    }

    fn panics_at_every_event_of_a_table_lock_leave_nothing_held() {
        panic_everywhere(&WAYS[12..], true);
    }
}
