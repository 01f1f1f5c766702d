//! Connections that break in the middle of a call.

use std::time::Duration;

use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, TableLock, inspect_server};
use futures_util::future::BoxFuture;

use crate::support::{Admin, Database, Proxy, connection_id, soon, until};

const LOCK: Lock = Lock::new("lost");

type Call = for<'c> fn(&'c mut AsyncMysqlConnection) -> BoxFuture<'c, Result<(), Error>>;

const CALLS: [(&str, Call); 9] = [
    ("acquire and release", |conn| {
        Box::pin(async { LOCK.acquire(conn).await?.release().await.map(drop) })
    }),
    ("acquire within a fraction of a second", |conn| {
        let lock = LOCK.timeout(Duration::from_millis(1_500));
        Box::pin(async move { lock.acquire(conn).await?.release().await.map(drop) })
    }),
    ("transaction", |conn| {
        Box::pin(async {
            let done: QueryResult<()> = LOCK
                .transaction(conn, async |conn| {
                    conn.batch_execute("INSERT INTO work VALUES (1), (2)").await
                })
                .await;
            Ok(done?)
        })
    }),
    ("is_still_held", |conn| {
        Box::pin(async {
            let mut guard = LOCK.acquire(conn).await?;
            assert!(guard.is_still_held().await?);
            guard.release().await.map(drop)
        })
    }),
    ("release_all", |conn| {
        Box::pin(async {
            let conn = LOCK.acquire(conn).await?.leak();
            assert_eq!(Lock::release_all(conn).await?, 1);
            Ok(())
        })
    }),
    ("is_held", |conn| {
        Box::pin(async {
            assert!(!LOCK.is_held(conn).await?);
            Ok(())
        })
    }),
    ("holder", |conn| {
        Box::pin(async {
            assert!(LOCK.holder(conn).await?.is_none());
            Ok(())
        })
    }),
    ("lock tables", |conn| {
        Box::pin(async {
            let mut guard = TableLock::new().write_table("work").acquire(conn).await?;
            guard.batch_execute("INSERT INTO work VALUES (1), (2)").await?;
            guard.release().await.map(drop)
        })
    }),
    ("inspect_server", |conn| Box::pin(async { inspect_server(conn).await.map(drop) })),
];

#[tokio::test]
async fn a_connection_that_breaks_at_any_request_is_lost_and_holds_nothing() {
    let (database, proxy) = (Database::create().await, Proxy::start().await);
    let mut admin = Admin::connect().await;
    for (name, call) in CALLS {
        for answered in [false, true] {
            for requests in 0.. {
                let mut conn = database.connect_through(&proxy).await;
                let id = connection_id(&mut conn).await;
                proxy.cut_after(requests, answered);
                let result = soon(name, call(&mut conn)).await;
                if !proxy.was_cut() {
                    result.unwrap();
                    break;
                }
                let what = format!("{name}, cut after {requests} requests, done: {answered}");
                match result {
                    Err(Error::ConnectionLost(_)) => {}
                    // By the insertion of the body, whose own error is returned.
                    Err(Error::Diesel(_)) if ["transaction", "lock tables"].contains(&name) => {}
                    other => panic!("{what}: {other:?}"),
                }
                assert!(is_broken(&mut conn), "{what}: a pool would keep it");
                admin.until_gone(id).await;
                admin.until_free(&database.full_name("lost")).await;
                until(&format!("{what}: the table is free"), async || {
                    database.has_free_tables(&mut admin).await
                })
                .await;
                assert_eq!(database.count_of_pairs(&mut admin).await % 2, 0, "{what}");
            }
        }
    }
}

fn is_broken(conn: &mut AsyncMysqlConnection) -> bool {
    diesel_async::pooled_connection::PoolableConnection::is_broken(conn)
}
