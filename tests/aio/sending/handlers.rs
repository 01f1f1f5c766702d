//! Handlers of axum, with pools of both kinds.

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{get, post};
use diesel::QueryResult;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::aio::{Lock, LockGuard, TableLock};

use crate::support::{Database, Drop, number, polled, until};

#[derive(Clone)]
struct App {
    bb8: bb8::Pool<AsyncMysqlConnection>,
    deadpool: deadpool::Pool<AsyncMysqlConnection>,
}

type Answer = Result<String, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

async fn charge(State(app): State<App>, Path(id): Path<i32>) -> Answer {
    let mut conn = app.bb8.get().await.map_err(text)?;
    let name = format!("charge-{id}");
    let lock = Lock::new(&name);
    let charged: QueryResult<i32> = lock
        .transaction(&mut conn, async |conn| {
            conn.batch_execute(&format!("INSERT INTO work VALUES ({id})")).await?;
            Ok(id)
        })
        .await;
    charged.map(|id| format!("charged {id}")).map_err(text)
}

async fn charge_with_a_guard(State(app): State<App>, Path(id): Path<i32>) -> Answer {
    let conn = app.deadpool.get().await.map_err(text)?;
    let name = format!("charge-{id}");
    let mut guard = Lock::new(&name).acquire_owned(conn).await.map_err(text)?;
    let done: QueryResult<()> = guard
        .transaction(async |conn| {
            conn.batch_execute(&format!("INSERT INTO work VALUES ({id})")).await
        })
        .await;
    done.map_err(text)?;
    let task = tokio::spawn(async move {
        guard.is_still_held().await.map_err(text)?;
        guard.release().await.map_err(text)
    });
    drop(task.await.map_err(text)??);
    Ok(format!("charged {id}"))
}

async fn count_exactly(State(app): State<App>) -> Answer {
    let mut conn = app.deadpool.get().await.map_err(text)?;
    let counted: anyhow::Result<u64> = TableLock::new()
        .read_table("work")
        .with(&mut conn, async |conn| Ok(number("(SELECT COUNT(*) FROM work)", conn).await?))
        .await;
    counted.map(|rows| rows.to_string()).map_err(text)
}

async fn busy(State(app): State<App>) -> Answer {
    let mut conn = app.bb8.get().await.map_err(text)?;
    let lock = Lock::new("nightly");
    let ran = lock.try_with(&mut conn, async |conn| nested(conn).await).await.map_err(text)?;
    Ok(if ran.is_some() { "done" } else { "busy" }.to_owned())
}

async fn nested(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    Lock::new("inner")
        .with(conn, async |conn| {
            conn.transaction(async |conn| conn.batch_execute("DO 0").await).await
        })
        .await
}

fn router(app: App) -> Router {
    Router::new()
        .route("/charge/{id}", post(charge))
        .route("/charge-with-a-guard/{id}", post(charge_with_a_guard))
        .route("/count", get(count_exactly))
        .route("/busy", get(busy))
        .with_state(app)
}

/// As axum does when a client goes away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_is_dropped_leaves_nothing_held_in_its_pools() {
    let database = Database::create().await;
    let app = App { bb8: database.bb8(2).await, deadpool: database.deadpool(2) };
    let _router = router(app.clone());
    let state = || State(app.clone());
    for drop in Drop::BOTH {
        for polls in 1.. {
            let one = polled(polls, drop, charge(state(), Path(1))).await;
            let two = polled(polls, drop, charge_with_a_guard(state(), Path(2))).await;
            let three = polled(polls, drop, count_exactly(state())).await;
            let four = polled(polls, drop, busy(state())).await;
            // A `get` that was dropped while it pinged may have left a connection that fails once.
            for lock in ["charge-1", "charge-2", "nightly", "inner"] {
                let lock = Lock::new(lock);
                until("the lock is free", async || {
                    let mut conn = app.bb8.get().await.unwrap();
                    matches!(lock.is_held(&mut conn).await, Ok(false))
                })
                .await;
            }
            until("a connection works", async || {
                let mut conn = app.deadpool.get().await.unwrap();
                number("17", &mut conn).await == Ok(17)
            })
            .await;
            let answers = [one, two, three, four];
            if answers.iter().all(Option::is_some) {
                for answer in answers {
                    answer.unwrap().unwrap();
                }
                break;
            }
        }
    }
}

/// A guard outlives the handler, in a separate task.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_is_released_by_another_task() {
    let database = Database::create().await;
    let pool = database.deadpool(1);
    let guard: LockGuard<deadpool::Object<AsyncMysqlConnection>> =
        Lock::new("task").acquire_owned(pool.get().await.unwrap()).await.unwrap();
    let released = tokio::spawn(guard.release()).await.unwrap().unwrap();
    drop(released);
    let mut conn = pool.get().await.unwrap();
    assert!(!Lock::new("task").is_held(&mut conn).await.unwrap());
}
