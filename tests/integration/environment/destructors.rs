//! What the library's destructors call may panic: none of them unwinds, which would abort.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use diesel::connection::{Connection, Instrumentation, InstrumentationEvent};
use diesel::mysql::MysqlConnection;
use diesel_locks::LockConnection;

use super::panics::{LOCK, Planned, expect_nothing_left, panic, silently, tables};
use crate::support::alone;
use crate::support::schema::Database;
use crate::support::server::connection_id;
use crate::support::table_checks::is_broken;

/// A payload that panics when it is dropped, as does the destructor of the instrumentation.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic();
    }
}

struct Explodes(Arc<AtomicBool>);

impl Instrumentation for Explodes {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        if self.0.load(Relaxed) {
            std::panic::panic_any(Planned);
        }
    }
}

impl Drop for Explodes {
    fn drop(&mut self) {
        panic();
    }
}

/// Its panics carry a bomb.
struct Throws(Arc<AtomicBool>);

impl Instrumentation for Throws {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        if self.0.load(Relaxed) {
            std::panic::resume_unwind(Box::new(Bomb));
        }
    }
}

/// A wrapper that panics when it is asked for its connection.
struct Wrapper {
    conn: MysqlConnection,
    panics: bool,
}

impl LockConnection for Wrapper {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        if self.panics {
            panic();
        }
        Some(&mut self.conn)
    }
}

/// Drops a guard in a panic, with this instrumentation, once it is set to panic.
fn drop_under<I: Instrumentation>(instrumentation: fn(Arc<AtomicBool>) -> I) {
    silently(|| {
        for is_table in [false, true] {
            for unwinds in [false, true] {
                let db = Database::with_tables();
                let mut conn = db.connect();
                let id = connection_id(&mut conn);
                let armed = Arc::new(AtomicBool::new(false));
                conn.set_instrumentation(instrumentation(Arc::clone(&armed)));
                let dropped = catch_unwind(AssertUnwindSafe(|| {
                    let (_named, _tables);
                    if is_table {
                        _tables = tables().acquire(&mut conn).unwrap();
                    } else {
                        _named = LOCK.acquire(&mut conn).unwrap();
                    }
                    armed.store(true, Relaxed);
                    if unwinds {
                        panic();
                    }
                }));
                if let Err(panic) = dropped {
                    assert!(unwinds && panic.is::<Planned>());
                }
                assert!(is_broken(&mut conn));
                expect_nothing_left("after the drop", &mut conn, id, &db);
            }
        }
    });
}

alone! {
    fn a_destructor_survives_an_instrumentation_that_panics_when_it_is_dropped() {
        drop_under(Explodes);
    }

    fn a_destructor_survives_panics_that_carry_another_panic() {
        drop_under(Throws);
    }

    fn a_destructor_survives_a_wrapper_that_panics_when_asked_for_its_connection() {
        silently(|| {
            let db = Database::with_tables();
            let mut wrapper = Wrapper { conn: db.connect(), panics: false };
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                let mut guard = LOCK.acquire(&mut wrapper).unwrap();
                guard.panics = true;
                panic();
            }));
            assert!(dropped.unwrap_err().is::<Planned>());
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                wrapper.panics = false;
                let mut guard = tables().acquire(&mut wrapper).unwrap();
                guard.panics = true;
                panic();
            }));
            assert!(dropped.unwrap_err().is::<Planned>());
        });
    }
}
