//! Connections that are awaited: each contender on a runtime of one thread.

use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncMysqlConnection, RunQueryDsl,
    SimpleAsyncConnection, TransactionManager,
};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, TableLock};
use mysql_async::prelude::Queryable;
use sqlx::Connection as _;
use tokio::runtime::Runtime;
use url::Url;

use super::Contender;
use super::tables::{MINIMAL, TABLE};

const NAME: &str = "bench";
const LOCK: Lock = Lock::new(NAME);
const ACQUIRE: &str = "SELECT GET_LOCK(?, ?)";
const RELEASE: &str = "SELECT RELEASE_LOCK(?)";

/// Named locks, the first one being the floor.
pub(crate) fn awaited_named(url: &str, database: &str) -> Vec<Contender> {
    let full = format!("{database}.{NAME}");
    vec![
        {
            let full = full.clone();
            on_runtime(
                "mysql_async, `SELECT GET_LOCK`",
                driver(url),
                async move |conn: &mut mysql_async::Conn| {
                    let acquired: Option<i64> =
                        conn.exec_first(ACQUIRE, (&full, 10)).await.unwrap();
                    let released: Option<i64> = conn.exec_first(RELEASE, (&full,)).await.unwrap();
                    assert_eq!((acquired, released), (Some(1), Some(1)));
                },
            )
        },
        {
            let full = full.clone();
            on_runtime(
                "sqlx, `SELECT GET_LOCK`",
                sqlx(url),
                async move |conn: &mut sqlx::MySqlConnection| {
                    let acquired: Option<i64> = sqlx::query_scalar(ACQUIRE)
                        .bind(&full)
                        .bind(10)
                        .fetch_one(&mut *conn)
                        .await
                        .unwrap();
                    let released: Option<i64> =
                        sqlx::query_scalar(RELEASE).bind(&full).fetch_one(conn).await.unwrap();
                    assert_eq!((acquired, released), (Some(1), Some(1)));
                },
            )
        },
        on_runtime(
            "diesel-async, `sql_query(\"SELECT GET_LOCK\")`",
            diesel_async(url),
            async move |conn: &mut AsyncMysqlConnection| pasted(conn, &full).await,
        ),
        on_runtime(
            "`aio`: `acquire` and `release`",
            diesel_async(url),
            async |conn: &mut AsyncMysqlConnection| {
                LOCK.acquire(conn).await.unwrap().release().await.unwrap();
            },
        ),
        on_runtime(
            "`aio::Lock::with`",
            diesel_async(url),
            async |conn: &mut AsyncMysqlConnection| {
                LOCK.with(conn, async |_| Ok::<_, Error>(())).await.unwrap();
            },
        ),
    ]
}

/// Table locks, the first one being the floor.
pub(crate) fn awaited_tables(url: &str, _database: &str) -> Vec<Contender> {
    vec![
        on_runtime(
            "mysql_async, two minimal batches",
            driver(url),
            async |conn: &mut mysql_async::Conn| {
                for batch in MINIMAL {
                    conn.query_drop(batch).await.unwrap();
                }
            },
        ),
        on_runtime(
            "sqlx, two minimal batches",
            sqlx(url),
            async |conn: &mut sqlx::MySqlConnection| {
                for batch in MINIMAL {
                    sqlx::Executor::execute(&mut *conn, batch).await.unwrap();
                }
            },
        ),
        on_runtime(
            "diesel-async, two minimal batches",
            diesel_async(url),
            async |conn: &mut AsyncMysqlConnection| {
                AnsiTransactionManager::begin_transaction_sql(conn, MINIMAL[0]).await.unwrap();
                conn.batch_execute(MINIMAL[1]).await.unwrap();
                #[expect(clippy::default_trait_access, reason = "Diesel hides the type's name")]
                let none_open = Default::default();
                *AnsiTransactionManager::transaction_manager_status_mut(conn) = none_open;
            },
        ),
        on_runtime(
            "`aio::TableLock::with`",
            diesel_async(url),
            async |conn: &mut AsyncMysqlConnection| {
                TableLock::new()
                    .write_table(TABLE)
                    .with(conn, async |_| Ok::<_, Error>(()))
                    .await
                    .unwrap();
            },
        ),
    ]
}

/// Connects on a new runtime, and runs the call there as often as it is asked to.
fn on_runtime<Conn: 'static>(
    name: &'static str,
    connect: impl Future<Output = Conn>,
    once: impl AsyncFn(&mut Conn) + 'static,
) -> Contender {
    let runtime: Runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut conn = runtime.block_on(connect);
    let run = move |times| -> Duration {
        let started = Instant::now();
        runtime.block_on(async {
            for _ in 0..times {
                once(&mut conn).await;
            }
        });
        started.elapsed()
    };
    Contender { name, run: Box::new(run), is_countable: true, helper: None }
}

/// Returns the address as these drivers expect it: they call the socket otherwise than Diesel.
fn address(url: &str) -> Url {
    let mut url = Url::parse(url).unwrap();
    let socket = url.query_pairs().find(|(key, _)| key == "unix_socket");
    let socket = socket.map(|(_, path)| path.into_owned());
    url.set_query(None);
    if let Some(path) = socket {
        url.query_pairs_mut().append_pair("socket", &path);
    }
    url
}

/// Returns the address for `mysql_async`, which would move from TCP to the socket by itself.
fn driver_address(url: &str) -> String {
    let mut url = address(url);
    if url.query().is_none() {
        url.query_pairs_mut().append_pair("prefer_socket", "false");
    }
    url.into()
}

async fn driver(url: &str) -> mysql_async::Conn {
    mysql_async::Conn::from_url(driver_address(url)).await.unwrap()
}

async fn sqlx(url: &str) -> sqlx::MySqlConnection {
    sqlx::MySqlConnection::connect(address(url).as_str()).await.unwrap()
}

async fn diesel_async(url: &str) -> AsyncMysqlConnection {
    AsyncMysqlConnection::establish(&driver_address(url)).await.unwrap()
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Nullable<BigInt>)]
    answer: Option<i64>,
}

async fn pasted(conn: &mut AsyncMysqlConnection, name: &str) {
    let acquired: Answer = diesel::sql_query("SELECT GET_LOCK(?, ?) AS answer")
        .bind::<Text, _>(name)
        .bind::<Integer, _>(10)
        .get_result(conn)
        .await
        .unwrap();
    let released: Answer = diesel::sql_query("SELECT RELEASE_LOCK(?) AS answer")
        .bind::<Text, _>(name)
        .get_result(conn)
        .await
        .unwrap();
    assert_eq!((acquired.answer, released.answer), (Some(1), Some(1)));
}
