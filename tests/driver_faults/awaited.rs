//! Faults of diesel-async 0.9 with `mysql_async` 0.36, in plain diesel-async.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use diesel::sql_query;
use diesel_async::pooled_connection::PoolableConnection as _;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _,
    SimpleAsyncConnection as _, TransactionManager as _,
};

async fn connect() -> AsyncMysqlConnection {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is the address of a server");
    AsyncMysqlConnection::establish(&url).await.unwrap()
}

/// Polls the future once, and drops it.
async fn cancel(future: impl Future) {
    let mut future = pin!(future);
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending(), "it was ready at once");
        Poll::Ready(())
    })
    .await;
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test)
}

/// The driver gives the answer to the cancelled statement to the next one, here "OK" to what is no
/// SQL. The connection does not count as broken, so pools hand it on.
#[test]
fn a_connection_with_a_cancelled_query_is_broken_or_gives_the_right_answers() {
    run(async {
        let mut conn = connect().await;
        cancel(conn.batch_execute("DO 0")).await;
        if !conn.is_broken() {
            assert!(conn.batch_execute("this is no SQL").await.is_err());
        }
    });
}

/// Only the transaction manager is looked at.
#[test]
fn a_lost_connection_is_broken() {
    run(async {
        let mut conn = connect().await;
        let killed = conn.batch_execute("KILL CONNECTION_ID()").await;
        assert!(killed.is_err());
        assert!(sql_query("DO 0").execute(&mut conn).await.is_err());
        assert!(conn.is_broken());
    });
}

/// Debug builds panic instead, which is why this test wants `--release`.
#[test]
fn a_connection_with_a_cancelled_begin_stays_broken() {
    run(async {
        let mut conn = connect().await;
        cancel(AnsiTransactionManager::begin_transaction(&mut conn)).await;
        assert!(conn.is_broken());
        let _ = conn.transaction(async |conn| conn.batch_execute("DO 0").await).await;
        assert!(conn.is_broken());
    });
}
