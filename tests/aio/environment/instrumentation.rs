//! Instrumentation of the caller's that panics.

use std::panic::AssertUnwindSafe;

use diesel::connection::InstrumentationEvent;
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use diesel_locks::aio::{Lock, TableLock};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::support::{Admin, Database, connection_id, soon, until};

const LOCK: Lock = Lock::new("panics");

type Call = for<'c> fn(&'c mut AsyncMysqlConnection) -> BoxFuture<'c, ()>;

const CALLS: [(&str, Call); 3] = [
    ("a named lock", |conn| {
        Box::pin(async {
            LOCK.acquire(conn).await.unwrap().release().await.unwrap();
        })
    }),
    ("a transaction", |conn| {
        Box::pin(async {
            let done: diesel::QueryResult<()> = LOCK.transaction(conn, async |_| Ok(())).await;
            done.unwrap();
        })
    }),
    ("tables", |conn| {
        Box::pin(async {
            let lock = TableLock::new().write_table("work");
            lock.acquire(conn).await.unwrap().release().await.unwrap();
        })
    }),
];

#[tokio::test]
async fn a_panic_at_any_event_leaves_nothing_held() {
    let database = Database::create().await;
    let mut admin = Admin::connect().await;
    for (name, call) in CALLS {
        for events in 0.. {
            let mut conn = database.connect().await;
            let id = connection_id(&mut conn).await;
            let mut left = events;
            conn.set_instrumentation(move |_: InstrumentationEvent<'_>| {
                assert!(left > 0, "in the instrumentation");
                left -= 1;
            });
            let called = AssertUnwindSafe(call(&mut conn)).catch_unwind();
            if soon(name, called).await.is_ok() {
                assert!(events > 4, "{name}: only {events} events");
                break;
            }
            admin.until_gone(id).await;
            admin.until_free(&database.full_name("panics")).await;
            until(&format!("{name}: the table is free"), async || {
                database.has_free_tables(&mut admin).await
            })
            .await;
        }
    }
}
