//! The shapes in which programs write calls and bodies.

use std::collections::HashMap;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, LockGuard, TableLock, TableLockGuard, inspect_server};
use futures_util::future::{BoxFuture, join_all};

use super::{sent, spawned};

const LOCK: Lock = Lock::new("shapes");

async fn body(conn: &mut AsyncMysqlConnection) -> QueryResult<i32> {
    conn.batch_execute("DO 0").await?;
    Ok(1)
}

fn boxed(conn: &mut AsyncMysqlConnection) -> BoxFuture<'_, QueryResult<i32>> {
    Box::pin(body(conn))
}

/// Every call, on a connection that is borrowed.
#[test]
fn every_call_can_be_sent() {
    fn borrowed(conn: &mut AsyncMysqlConnection, tables: &TableLock) {
        sent(LOCK.acquire(conn));
        sent(LOCK.try_acquire(conn));
        sent(LOCK.with(conn, body));
        sent(LOCK.with(conn, boxed));
        sent(LOCK.with(conn, async |conn| body(conn).await));
        sent(LOCK.try_with(conn, body));
        sent(LOCK.transaction(conn, body));
        sent(LOCK.release(conn));
        sent(Lock::release_all(conn));
        sent(LOCK.is_held(conn));
        sent(LOCK.holding_connection_id(conn));
        sent(LOCK.holder(conn));
        sent(LOCK.waiters(conn));
        sent(Lock::held_with_prefix("", conn));
        sent(tables.acquire(conn));
        sent(tables.with(conn, body));
        sent(tables.blockers(conn));
        sent(inspect_server(conn));
    }
    fn on_a_guard<Conn>(guard: &mut LockGuard<Conn>)
    where
        Conn: DerefMut<Target = AsyncMysqlConnection> + Send,
    {
        sent(guard.is_still_held());
        sent(guard.transaction(body));
        sent(guard.transaction(async |conn| body(conn).await));
    }
    fn owned<Conn>(
        conn: Conn,
        lock: LockGuard<Conn>,
        tables: TableLockGuard<Conn>,
        other: TableLockGuard<Conn>,
    ) where
        Conn: DerefMut<Target = AsyncMysqlConnection> + Send + 'static,
    {
        spawned(LOCK_STATIC.acquire_owned(conn));
        spawned(lock.release());
        spawned(tables.release());
        spawned(other.rollback());
    }
    static LOCK_STATIC: Lock = LOCK;
    let _ = (borrowed, on_a_guard::<&mut AsyncMysqlConnection>);
    let _ = (
        owned::<Box<AsyncMysqlConnection>>,
        owned::<bb8::PooledConnection<'static, AsyncMysqlConnection>>,
        owned::<deadpool::Object<AsyncMysqlConnection>>,
    );
}

/// Captures by reference and by value, of things that are changed and returned.
async fn captures(
    mut conn: AsyncMysqlConnection,
    id: i32,
    names: Vec<String>,
) -> QueryResult<usize> {
    let by_reference = HashMap::from([(id, names.clone())]);
    let mut counted = 0;
    LOCK.with(&mut conn, async |conn| {
        counted += by_reference.len();
        body(conn).await
    })
    .await?;
    let moved = names;
    let moved: Vec<String> = LOCK
        .with(&mut conn, async move |conn| {
            body(conn).await?;
            QueryResult::Ok(moved)
        })
        .await?;
    LOCK.transaction(&mut conn, async |conn| {
        for name in &moved {
            conn.batch_execute(&format!("DO '{name}'")).await?;
        }
        QueryResult::Ok(())
    })
    .await?;
    Ok(counted + moved.len())
}

/// Locks and transactions inside of each other.
async fn nested(conn: &mut AsyncMysqlConnection, name: &str) -> anyhow::Result<i32> {
    Lock::new(name)
        .with(conn, async |conn| {
            LOCK.transaction(conn, async |conn| {
                let inner = conn.transaction(async |conn| body(conn).await).await?;
                Lock::new("third")
                    .timeout(Duration::from_secs(1))
                    .try_with(conn, async |conn| {
                        let number: QueryResult<i32> = body(conn).await;
                        anyhow::Ok(number? + inner)
                    })
                    .await?;
                anyhow::Ok(inner)
            })
            .await
        })
        .await
}

/// The lock is made of an argument, and the body returns the caller's own error.
enum AppError {
    Diesel(diesel::result::Error),
    Locks(Error),
    Refused(u64),
}

impl std::fmt::Debug for AppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Diesel(error) => error.fmt(f),
            Self::Locks(error) => error.fmt(f),
            Self::Refused(id) => write!(f, "{id} is refused"),
        }
    }
}

impl From<diesel::result::Error> for AppError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Diesel(error)
    }
}

impl From<Error> for AppError {
    fn from(error: Error) -> Self {
        Self::Locks(error)
    }
}

async fn own_error(conn: &mut AsyncMysqlConnection, id: u64) -> Result<(), AppError> {
    let name = format!("account-{id}");
    let lock = Lock::new(&name);
    let mut guard = lock.acquire(conn).await?;
    guard
        .transaction(async |conn| {
            body(conn).await?;
            if id == 0 { Err(AppError::Refused(id)) } else { Ok(()) }
        })
        .await?;
    guard.release().await?;
    Ok(())
}

/// A body of a caller that is generic.
async fn generic<T, E, B>(conn: &mut AsyncMysqlConnection, body: B) -> Result<T, E>
where
    B: AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    E: From<diesel::result::Error>,
{
    LOCK.with(conn, body).await
}

async fn calls_generic(mut conn: AsyncMysqlConnection) -> QueryResult<i32> {
    let one = generic(&mut conn, body).await?;
    let two = generic(&mut conn, async |conn| body(conn).await).await?;
    Ok(one + two)
}

/// A trait of the caller's whose futures can be sent.
trait Job: Sync {
    fn run(&self, conn: &mut AsyncMysqlConnection)
    -> impl Future<Output = QueryResult<i32>> + Send;
}

struct Nightly {
    name: String,
}

impl Job for Nightly {
    async fn run(&self, conn: &mut AsyncMysqlConnection) -> QueryResult<i32> {
        Lock::new(&self.name).with(conn, async |conn| body(conn).await).await
    }
}

async fn run_job<J: Job>(
    job: Arc<J>,
    pool: bb8::Pool<AsyncMysqlConnection>,
) -> anyhow::Result<i32> {
    let mut conn = pool.get().await?;
    Ok(job.run(&mut conn).await?)
}

/// A trait that is used as an object.
trait DynJob: Send + Sync {
    fn run<'c>(&'c self, conn: &'c mut AsyncMysqlConnection) -> BoxFuture<'c, QueryResult<i32>>;
}

impl DynJob for Nightly {
    fn run<'c>(&'c self, conn: &'c mut AsyncMysqlConnection) -> BoxFuture<'c, QueryResult<i32>> {
        Box::pin(async move {
            TableLock::new()
                .write_table(self.name.as_str())
                .with(conn, async |conn| body(conn).await)
                .await
        })
    }
}

async fn run_dyn(job: Arc<dyn DynJob>, mut conn: Box<AsyncMysqlConnection>) -> QueryResult<i32> {
    job.run(&mut conn).await
}

async fn selects(mut conn: AsyncMysqlConnection) -> QueryResult<Option<i32>> {
    tokio::select! {
        result = LOCK.with(&mut conn, body) => result.map(Some),
        () = tokio::time::sleep(Duration::from_secs(1)) => Ok(None),
    }
}

async fn times_out(mut conn: AsyncMysqlConnection) -> anyhow::Result<i32> {
    let limited = tokio::time::timeout(Duration::from_secs(1), nested(&mut conn, "outer"));
    limited.await?
}

async fn joins(pool: deadpool::Pool<AsyncMysqlConnection>) -> anyhow::Result<i32> {
    let names: Vec<_> = (0..3).map(|i| format!("part-{i}")).collect();
    let parts = names.iter().map(|name| {
        let pool = pool.clone();
        async move {
            let mut conn = pool.get().await?;
            let part = Lock::new(name).with(&mut conn, async |conn| body(conn).await).await?;
            anyhow::Ok(part)
        }
    });
    let mut sum = 0;
    for part in join_all(parts).await {
        sum += part?;
    }
    Ok(sum)
}

/// A recursive body needs a box, as any recursive future.
fn recursive(conn: &mut AsyncMysqlConnection, depth: u32) -> BoxFuture<'_, QueryResult<i32>> {
    Box::pin(async move {
        if depth == 0 {
            return body(conn).await;
        }
        LOCK.with(conn, async |conn| recursive(conn, depth - 1).await).await
    })
}

/// Guards in structs, and behind `&mut`.
struct Session<Conn: DerefMut<Target = AsyncMysqlConnection>> {
    guard: LockGuard<Conn>,
    tables: Option<TableLockGuard<Conn>>,
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection> + Send> Session<Conn> {
    async fn work(&mut self) -> QueryResult<i32> {
        let one = body(&mut self.guard).await?;
        let two: QueryResult<i32> = self.guard.transaction(body).await;
        if let Some(tables) = &mut self.tables {
            body(tables).await?;
        }
        Ok(one + two?)
    }

    async fn finish(self) -> Result<Conn, Error> {
        if let Some(tables) = self.tables {
            tables.rollback().await?;
        }
        self.guard.release().await
    }
}

async fn keeps_a_session(
    conn: bb8::PooledConnection<'static, AsyncMysqlConnection>,
) -> anyhow::Result<i32> {
    let guard = LOCK.acquire_owned(conn).await.map_err(Error::from)?;
    let mut session = Session { guard, tables: None };
    let worked = session.work().await?;
    session.finish().await?;
    Ok(worked)
}

/// What compiles here can be spawned.
#[test]
fn every_shape_can_be_spawned() {
    fn all<Connect: Fn() -> AsyncMysqlConnection>(
        conn: Connect,
        bb8: &bb8::Pool<AsyncMysqlConnection>,
        deadpool: deadpool::Pool<AsyncMysqlConnection>,
        pooled: bb8::PooledConnection<'static, AsyncMysqlConnection>,
    ) {
        spawned(captures(conn(), 1, Vec::new()));
        spawned(calls_generic(conn()));
        spawned(selects(conn()));
        spawned(times_out(conn()));
        spawned(joins(deadpool));
        spawned(keeps_a_session(pooled));
        spawned(run_job(Arc::new(Nightly { name: String::new() }), bb8.clone()));
        spawned(run_dyn(Arc::new(Nightly { name: String::new() }), Box::new(conn())));
        let mut mine = conn();
        sent(nested(&mut mine, "outer"));
        sent(own_error(&mut mine, 7));
        sent(recursive(&mut mine, 3));
        sent(generic(&mut mine, body));
        spawned(async move {
            let conn = &mut mine;
            nested(conn, "outer").await?;
            own_error(conn, 7).await.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            LOCK.try_with(conn, async |conn| recursive(conn, 2).await).await?;
            anyhow::Ok(())
        });
    }
    let _ = all::<fn() -> AsyncMysqlConnection>;
}
