//! `tracing` subscribers that panic, and guards that are dropped while another panic unwinds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use diesel::connection::{Connection, Instrumentation, InstrumentationEvent, SimpleConnection};
use diesel::mysql::MysqlConnection;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection};
use diesel_locks::{Error, Lock, LockGuard};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

use super::panics::{
    Body, LOCK, WAYS, expect_nothing_left, expect_planned, panic, silently, tables,
};
use crate::support::alone;
use crate::support::schema::Database;
use crate::support::server::{Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{has_locked_tables, is_broken, until_all_free};

/// Panics at one of its callbacks, or at all from one on.
struct Panics {
    seen: Arc<AtomicUsize>,
    first: usize,
    all: bool,
}

impl Panics {
    fn called(&self) {
        let call = self.seen.fetch_add(1, Relaxed);
        if call == self.first || (self.all && call > self.first) {
            panic();
        }
    }
}

impl Subscriber for Panics {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_ours = metadata.target().starts_with("diesel_locks");
        if is_ours {
            self.called();
        }
        is_ours
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.called();
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {
        self.called();
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {
        self.called();
    }
    fn event_enabled(&self, _: &Event<'_>) -> bool {
        self.called();
        true
    }
    fn event(&self, _: &Event<'_>) {
        self.called();
    }
    fn enter(&self, _: &Id) {
        self.called();
    }
    fn exit(&self, _: &Id) {
        self.called();
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.called();
        id.clone()
    }
    fn try_close(&self, _: Id) -> bool {
        self.called();
        true
    }
}

/// Panics at each callback in turn. With `lost`, what is held is lost in the body, so that the end
/// is a warning.
fn panic_at_each_callback(all: bool, lost: bool) {
    silently(|| {
        for (way, run) in WAYS {
            for body in [Body::Succeeds, Body::Fails, Body::Panics] {
                let db = Database::with_tables();
                for first in 0.. {
                    let what = format!("{way}, {body:?}, callback {first}, all after it: {all}");
                    let mut conn = db.connect();
                    let id = connection_id(&mut conn);
                    if lost {
                        conn.set_instrumentation(Loses { id, inserts: 0 });
                    }
                    let seen = Arc::new(AtomicUsize::new(0));
                    let subscriber = Panics { seen: Arc::clone(&seen), first, all };
                    let result = tracing::subscriber::with_default(subscriber, || {
                        catch_unwind(AssertUnwindSafe(|| run(&mut conn, body)))
                    });
                    if let Err(panic) = result {
                        expect_planned(&what, &*panic);
                    }
                    if lost {
                        Admin::new().until_gone(id);
                        assert_eq!(Admin::new().holder(&db.full_name("lock")), None, "{what}");
                        until_all_free(&db);
                    } else {
                        expect_nothing_left(&what, &mut conn, id, &db);
                    }
                    if seen.load(Relaxed) <= first {
                        break;
                    }
                }
            }
        }
    });
}

/// Kills the connection when the body has written its row.
struct Loses {
    id: u64,
    inserts: usize,
}

impl Instrumentation for Loses {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        if let InstrumentationEvent::FinishQuery { query, .. } = event {
            if query.to_string().starts_with("INSERT") && self.inserts == 0 {
                self.inserts = 1;
                let mut admin = Admin::new();
                admin.kill_connection(self.id);
                admin.until_gone(self.id);
            }
        }
    }
}

alone! {
    fn a_panic_in_any_callback_of_a_subscriber_leaves_nothing_held() {
        panic_at_each_callback(false, false);
    }

    fn panics_in_every_callback_of_a_subscriber_leave_nothing_held() {
        panic_at_each_callback(true, false);
    }

    fn a_panic_in_a_subscriber_that_hears_of_a_lost_lock_does_not_abort() {
        panic_at_each_callback(true, true);
    }
}

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// Panics at every event, once it is set to.
struct Armed(Arc<AtomicUsize>);

impl Instrumentation for Armed {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        if self.0.load(Relaxed) == 0 {
            panic();
        }
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Returns a pool of one connection, which it does not test when it hands it out.
fn pool(db: &Database) -> Pool<ConnectionManager<MysqlConnection>> {
    let manager = ConnectionManager::new(db.url());
    Pool::builder().max_size(1).test_on_check_out(false).build(manager).unwrap()
}

/// Ends a pooled guard while another panic unwinds and each event from one on panics, too.
fn drop_in_a_panic<Guard>(hold: impl Fn(Pooled) -> Guard) {
    silently(|| {
        let db = Database::with_tables();
        let pool = pool(&db);
        for events in 0..12 {
            let mut conn = pool.get().unwrap();
            let id = connection_id(&mut conn);
            let left = Arc::new(AtomicUsize::new(usize::MAX));
            conn.set_instrumentation(Armed(Arc::clone(&left)));
            let guard = hold(conn);
            left.store(events, Relaxed);
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let _guard = guard;
                panic();
            }));
            assert!(unwound.is_err());
            let mut back = pool.get().unwrap();
            back.set_instrumentation(|_: InstrumentationEvent<'_>| {});
            let same = connection_id(&mut back) == id;
            if !same {
                Admin::new().until_gone(id);
            }
            assert!(!is_broken(&mut back), "{events}");
            assert!(!has_locked_tables(&mut back), "{events}");
            assert_eq!(count_and_release_locks(&mut back), 0, "{events}");
            assert_eq!(Admin::new().holder(&db.full_name("lock")), None, "{events}");
            until_all_free(&db);
        }
    });
}

alone! {
    fn a_pooled_guard_that_is_dropped_in_a_panic_never_comes_back_with_its_lock() {
        drop_in_a_panic(|conn| LOCK.acquire_owned(conn).unwrap());
    }

    fn pooled_tables_that_are_dropped_in_a_panic_never_come_back_locked() {
        drop_in_a_panic(|conn| tables().acquire_owned(conn).unwrap());
    }

    fn an_owned_guard_in_a_guard_is_dropped_in_a_panic_without_an_abort() {
        drop_in_a_panic(|conn| {
            let outer: LockGuard<Pooled> = LOCK.acquire_owned(conn).unwrap();
            Lock::new("inner").acquire_owned(Box::new(outer)).unwrap()
        });
    }

    fn a_failed_acquire_of_an_owned_guard_never_puts_a_broken_connection_into_the_pool() {
        silently(|| {
            let db = Database::with_tables();
            let pool = pool(&db);
            for events in 0..20 {
                let mut conn = pool.get().unwrap();
                conn.set_instrumentation(Armed(Arc::new(AtomicUsize::new(events))));
                let acquire = AssertUnwindSafe(|| {
                    if events % 2 == 0 {
                        LOCK.acquire_owned(conn).map(drop).map_err(Error::from)
                    } else {
                        tables().acquire_owned(conn).map(drop).map_err(Error::from)
                    }
                });
                let _ = catch_unwind(acquire);
                let mut back = pool.get().unwrap();
                back.set_instrumentation(|_: InstrumentationEvent<'_>| {});
                back.batch_execute("DO 0").unwrap();
                assert!(!has_locked_tables(&mut back), "{events}");
                assert_eq!(count_and_release_locks(&mut back), 0, "{events}");
                until_all_free(&db);
            }
        });
    }
}
