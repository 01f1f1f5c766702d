//! The feature `tracing`: a span for each acquire, and an event for each release that fails on
//! drop.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel_locks::{Error, Lock, TableLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::support::schema::{Database, places};
use crate::support::server::{Admin, connection_id, count_and_release_locks};

/// A span or an event: its name or level, and its fields.
#[derive(Debug, Default, Clone)]
struct Recorded {
    name: String,
    fields: BTreeMap<&'static str, String>,
}

impl Recorded {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Recorded {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

#[derive(Debug, Default, Clone)]
struct Listener {
    spans: Arc<Mutex<Vec<Recorded>>>,
    events: Arc<Mutex<Vec<Recorded>>>,
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("diesel_locks")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut recorded =
            Recorded { name: span.metadata().name().to_owned(), ..Recorded::default() };
        span.record(&mut recorded);
        let mut spans = self.spans.lock().unwrap();
        spans.push(recorded);
        Id::from_u64(spans.len() as u64)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let index = usize::try_from(span.into_u64()).unwrap() - 1;
        values.record(&mut self.spans.lock().unwrap()[index]);
    }

    fn event(&self, event: &Event<'_>) {
        let mut recorded =
            Recorded { name: event.metadata().level().to_string(), ..Recorded::default() };
        event.record(&mut recorded);
        self.events.lock().unwrap().push(recorded);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Returns the spans and the events of the closure.
fn listen(body: impl FnOnce()) -> (Vec<Recorded>, Vec<Recorded>) {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), body);
    let spans = listener.spans.lock().unwrap().clone();
    let events = listener.events.lock().unwrap().clone();
    (spans, events)
}

#[test]
fn each_acquire_of_a_named_lock_is_a_span() {
    let db = Database::new();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let id = connection_id(&mut conn);
    let lock = Lock::new("lock");
    let (spans, events) = listen(|| {
        lock.acquire(&mut conn).unwrap().release().unwrap();
        lock.without_timeout().acquire(&mut conn).unwrap().leak();
        lock.try_acquire(&mut other).map(|guard| assert!(guard.is_none())).unwrap();
        lock.timeout(Duration::from_millis(20)).acquire(&mut other).map(drop).unwrap_err();
        lock.release(&mut conn).unwrap();
        Lock::new("").acquire(&mut conn).map(drop).unwrap_err();
        lock.with(&mut conn, |_| Ok::<_, Error>(())).unwrap();
    });
    let seen: Vec<_> = spans
        .iter()
        .map(|span| {
            assert_eq!((span.name.as_str(), span.field("kind")), ("acquire", "named lock"));
            assert!(!span.field("waited").is_empty(), "{span:?}");
            (span.field("lock"), span.field("timeout"), span.field("outcome"))
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("lock", "10s", "acquired"),
            ("lock", "", "acquired"),
            ("lock", "0ns", "busy"),
            ("lock", "20ms", "timeout"),
            ("", "10s", "error"),
            ("lock", "10s", "acquired"),
        ]
    );
    let name = db.full_name("lock");
    let expected = format!("timed out after 20ms waiting for {name} (held by connection {id})");
    assert_eq!(spans[3].field("error"), expected);
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn each_acquire_of_a_table_lock_is_a_span() {
    let db = Database::with_tables();
    let (mut conn, mut other) = (db.connect(), db.connect());
    let lock = TableLock::new().write::<places::table>();
    let (spans, events) = listen(|| {
        let guard = lock.acquire(&mut conn).unwrap();
        let soon = lock.clone().timeout(Duration::from_secs(1));
        soon.acquire(&mut other).map(drop).unwrap_err();
        guard.release().unwrap();
    });
    let seen: Vec<_> = spans
        .iter()
        .map(|span| {
            assert_eq!((span.name.as_str(), span.field("kind")), ("acquire", "table lock"));
            (span.field("lock"), span.field("timeout"), span.field("outcome"))
        })
        .collect();
    assert_eq!(seen, [("`places` WRITE", "", "acquired"), ("`places` WRITE", "1s", "timeout")]);
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn a_release_that_fails_on_drop_is_an_event() {
    let db = Database::with_tables();
    let mut admin = Admin::new();
    let (_, events) = listen(|| {
        let mut conn = db.connect();
        let mut guard = Lock::new("lock").acquire(&mut conn).unwrap();
        assert_eq!(count_and_release_locks(&mut guard), 1);
        drop(guard);
        // No event for a release that succeeds, nor for one whose error the caller gets.
        drop(Lock::new("lock").acquire(&mut conn).unwrap());
        let mut guard = Lock::new("lock").acquire(&mut conn).unwrap();
        count_and_release_locks(&mut guard);
        guard.release().map(drop).unwrap_err();

        let mut guard = TableLock::new().write::<places::table>().acquire(&mut conn).unwrap();
        let id = connection_id(&mut guard);
        admin.kill_connection(id);
        admin.until_gone(id);
        drop(guard);
    });
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            assert_eq!(event.name, Level::WARN.to_string());
            assert_eq!(event.field("message"), "a lock was not held to its end");
            (event.field("kind"), event.field("lock"))
        })
        .collect();
    let name = db.full_name("lock");
    assert_eq!(seen, [("named lock", name.as_str()), ("table lock", "`places` WRITE")]);
    assert_eq!(events[0].field("error"), format!("{name} is not held by this connection"));
    assert!(events[1].field("error").contains("connection to the server was lost"), "{events:?}");
}
