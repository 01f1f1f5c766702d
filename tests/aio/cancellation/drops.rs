//! Guards that are dropped, and panics.

use std::panic::AssertUnwindSafe;

use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::aio::TableLock;
use futures_util::FutureExt as _;

use super::calls::{FREE, write};
use super::kept_connections::Scene;
use super::probes::{Probe, ask_all};
use crate::support::{connection_id, number, on_both_runtimes, soon, until};

/// Once for each way to use the connection again first.
async fn after_each(what: &str, mut act: impl AsyncFnMut(&mut AsyncMysqlConnection)) {
    let mut scene = Scene::set().await;
    for first in Probe::ALL {
        let mut conn = scene.database.connect().await;
        let id = connection_id(&mut conn).await;
        Probe::warm_up(&mut conn).await;
        act(&mut conn).await;
        scene.admin.until_gone(id).await;
        soon(what, ask_all(first, &mut conn, id, &scene.database, &mut scene.admin)).await;
        scene.expect_nothing_held(what, id).await;
    }
}

on_both_runtimes! {
    async fn a_guard_that_is_dropped_closes_the_connection() {
        after_each("a guard", async |conn| drop(FREE.acquire(conn).await.unwrap())).await;
    }

    async fn a_guard_of_tables_that_is_dropped_commits_nothing() {
        after_each("a guard of tables", async |conn| {
            let mut guard = TableLock::new().write_table("work").acquire(conn).await.unwrap();
            write(&mut guard).await.unwrap();
        })
        .await;
    }

    async fn a_guard_that_is_dropped_while_its_task_panics_closes_the_connection() {
        after_each("a guard", async |conn| {
            let panics = async {
                let mut guard = FREE.acquire(conn).await.unwrap();
                write(&mut guard).await.unwrap();
                panic!("in the task");
            };
            AssertUnwindSafe(panics).catch_unwind().await.unwrap_err();
        })
        .await;
    }

    async fn a_body_that_panics_closes_the_connection() {
        after_each("with", async |conn| {
            let with = FREE.with(conn, async |_| -> QueryResult<()> { panic!("in the body") });
            AssertUnwindSafe(with).catch_unwind().await.unwrap_err();
        })
        .await;
        after_each("transaction", async |conn| {
            let transaction = FREE.transaction(conn, async |conn| -> QueryResult<()> {
                conn.batch_execute("INSERT INTO work VALUES (1)").await?;
                panic!("in the body")
            });
            AssertUnwindSafe(transaction).catch_unwind().await.unwrap_err();
        })
        .await;
        let tables = TableLock::new().write_table("work");
        after_each("tables", async |conn| {
            let with = tables.with(conn, async |conn| -> QueryResult<()> {
                conn.batch_execute("INSERT INTO work VALUES (1)").await?;
                panic!("in the body")
            });
            AssertUnwindSafe(with).catch_unwind().await.unwrap_err();
        })
        .await;
    }
}

/// On a connection that has not used the library, and has none of its statements prepared.
#[tokio::test]
async fn a_guard_of_a_timeout_in_fractions_is_dropped_like_others() {
    let lock = FREE.timeout(std::time::Duration::from_millis(2_500));
    after_each("a guard", async |conn| drop(lock.acquire(conn).await.unwrap())).await;
}

/// Where there is no runtime, the connection is closed all the same.
#[tokio::test]
async fn a_guard_may_be_dropped_on_any_thread() {
    let mut scene = Scene::set().await;
    let conn = Box::new(scene.database.connect().await);
    let mut guard = FREE.acquire_owned(conn).await.map_err(drop).unwrap();
    let id = connection_id(&mut guard).await;
    std::thread::spawn(move || drop(guard)).join().unwrap();
    scene.admin.until_gone(id).await;
    scene.expect_nothing_held("a guard", id).await;

    let mut kept = scene.database.connect().await;
    let id = connection_id(&mut kept).await;
    let guard = FREE.acquire(&mut kept).await.unwrap();
    std::thread::scope(|threads| threads.spawn(move || drop(guard)).join().unwrap());
    scene.admin.until_gone(id).await;
    scene.expect_nothing_held("a guard", id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_panics_or_is_aborted_leaves_its_pool_usable() {
    let mut scene = Scene::set().await;
    let (bb8, deadpool) = (scene.database.bb8(1).await, scene.database.deadpool(1));
    for aborts in [false, true] {
        let conn = bb8.get_owned().await.unwrap();
        let one = tokio::spawn(hold_until_the_end(conn, aborts));
        let conn = deadpool.get().await.unwrap();
        let two = tokio::spawn(hold_until_the_end(conn, aborts));
        if aborts {
            // Both wait forever; one of them for the lock.
            let held = scene.database.full_name("free");
            until("one of them holds the lock", async || scene.admin.holder(&held).await.is_some())
                .await;
            one.abort();
            two.abort();
        }
        soon("the first", one).await.unwrap_err();
        soon("the second", two).await.unwrap_err();
        scene.expect_nothing_held("tasks", 0).await;
        assert_eq!(number("17", &mut soon("bb8", bb8.get()).await.unwrap()).await, Ok(17));
        assert_eq!(
            number("17", &mut soon("deadpool", deadpool.get()).await.unwrap()).await,
            Ok(17)
        );
    }
}

async fn hold_until_the_end<Conn>(conn: Conn, waits: bool)
where
    Conn: std::ops::DerefMut<Target = AsyncMysqlConnection> + Send,
{
    let _guard = FREE.acquire_owned(conn).await.map_err(drop).unwrap();
    if waits {
        std::future::pending::<()>().await;
    }
    panic!("in the task");
}
