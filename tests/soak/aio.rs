//! The async workers: tasks on connections of diesel-async, some of whose calls are cancelled.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer, Text, Unsigned};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, bb8};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, LockSet, TableLock};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use crate::job::{Counted, Job, Planned};
use crate::killer::{Slot, Targets};
use crate::ledger::Ledger;
use crate::scene::{self, Scene};
use crate::ways::End;

type Pooled = bb8::PooledConnection<'static, AsyncMysqlConnection>;

/// A runtime with a pool.
pub(crate) struct Aio {
    runtime: Runtime,
    pool: bb8::Pool<AsyncMysqlConnection>,
    tasks: u32,
}

impl Aio {
    pub(crate) fn new(scene: &Scene, tasks: u32) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let manager = AsyncDieselConnectionManager::new(scene.url_inside());
        let pool = bb8::Pool::builder().max_size(tasks.max(1));
        let pool = runtime.block_on(pool.build(manager)).unwrap();
        Self { runtime, pool, tasks }
    }

    /// Works until the deadline; the tasks' slots begin with this one.
    pub(crate) fn work(
        &self,
        (scene, ledger, targets): (&Scene, &Ledger, &Targets),
        first_slot: u32,
        seed: u64,
        deadline: Instant,
    ) {
        let tasks = (first_slot..first_slot + self.tasks).map(|number| {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(u64::from(number)));
            let mut task = Task { scene, ledger, slot: targets.slot(number), random };
            async move { task.work(&self.pool, deadline).await }
        });
        self.runtime.block_on(join_all(tasks));
    }
}

struct Task<'s> {
    scene: &'s Scene,
    ledger: &'s Ledger,
    slot: &'s Slot,
    random: fastrand::Rng,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    With,
    Transaction,
    Release,
    Drop,
    Owned,
    Set,
    TablesWith,
    TablesRollback,
    TablesDrop,
}

impl Way {
    const NAMED: [Self; 6] =
        [Self::With, Self::Transaction, Self::Release, Self::Drop, Self::Owned, Self::Set];
    const TABLES: [Self; 3] = [Self::TablesWith, Self::TablesRollback, Self::TablesDrop];

    fn end(self) -> End {
        match self {
            Self::With | Self::Release | Self::Drop | Self::Owned => End::Done,
            Self::Transaction | Self::Set | Self::TablesWith => End::Committed,
            Self::TablesRollback | Self::TablesDrop => End::RolledBack,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::With => "aio: with",
            Self::Transaction => "aio: transaction",
            Self::Release => "aio: release",
            Self::Drop => "aio: drop",
            Self::Owned => "aio: owned",
            Self::Set => "aio: set",
            Self::TablesWith => "aio: tables: with",
            Self::TablesRollback => "aio: tables: rollback",
            Self::TablesDrop => "aio: tables: drop",
        }
    }
}

struct Wanted<'n> {
    lock: Lock<'n>,
    set: LockSet,
    tables: TableLock,
}

impl Task<'_> {
    async fn work(&mut self, pool: &bb8::Pool<AsyncMysqlConnection>, deadline: Instant) {
        while Instant::now() < deadline {
            let Ok(mut conn) = pool.get_owned().await else {
                self.ledger.outcome("no connection");
                continue;
            };
            let Some(id) = self.check(&mut conn).await else { continue };
            self.slot.set(Some(id));
            for _ in 0..self.random.u32(1..20) {
                let Some(same) = self.job(conn, id).await else { break };
                conn = same;
                if Instant::now() > deadline || self.ledger.kills(id).killed {
                    break;
                }
            }
            self.slot.set(None);
        }
    }

    /// Checks that a connection from the pool has no locks, and its original session variables.
    async fn check(&self, conn: &mut AsyncMysqlConnection) -> Option<u64> {
        let (id, session) = session(conn).await.ok()?;
        if session != self.scene.session {
            let began = &self.scene.session;
            self.ledger
                .fault(format!("connection {id} came back with {session}, and began with {began}"));
        }
        let left = Lock::release_all(conn).await.ok()?;
        if left > 0 {
            self.ledger.fault(format!("{left} locks were left on connection {id}"));
        }
        Some(id)
    }

    /// Does one job, and returns the connection unless it was lost.
    async fn job(&mut self, conn: Pooled, connection: u64) -> Option<Pooled> {
        let (ledger, locks, random) = (self.ledger, self.scene.locks, &mut self.random);
        let before = ledger.kills(connection);
        let of_tables = random.u32(..15) == 0;
        let way = *random.choice(if of_tables { &Way::TABLES[..] } else { &Way::NAMED[..] })?;
        let number = random.usize(..locks);
        let table = number % scene::TABLES;
        let fence = format!("fence_{table}");
        let timeout = Duration::from_millis(*random.choice(&[50, 250, 1_000, 2_500])?);
        let second = scene::name((number + random.usize(1..locks)) % locks);
        let name = scene::name(number);
        let wanted = Wanted {
            lock: Lock::new(&name).timeout(timeout),
            set: Lock::all([&name, &second]).timeout(timeout),
            tables: TableLock::new().write_table(fence.as_str()).timeout(timeout),
        };
        let row = i32::try_from(number).unwrap_or_default();
        let mut job = Job {
            ledger,
            connection,
            place: if of_tables { locks + table } else { number },
            fence: if of_tables { (fence, 0) } else { ("fences".to_owned(), row) },
            hold_ms: if random.u32(..50) == 0 { 100 } else { random.u32(..5) },
            panics: random.u32(..50) == 0,
            fails: random.u32(..50) == 0,
            started: Instant::now(),
            of_tables,
            counted: Counted::No,
        };
        let cancelled = random.u32(..5) == 0;
        let limit = Duration::from_millis(if cancelled { random.u64(..30) } else { 600_000 });

        let run = AssertUnwindSafe(run(way, &wanted, conn, &mut job)).catch_unwind();
        let result = tokio::time::timeout(limit, run).await;

        let succeeded = matches!(result, Ok(Ok(Ok(_))));
        job.count(way.end(), succeeded);
        let error = match result {
            Ok(Ok(Ok(conn))) => return conn,
            Ok(Ok(Err(error))) => error,
            Ok(Err(panic)) if panic.is::<Planned>() => return None,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => {
                ledger.outcome("cancelled");
                return None;
            }
        };
        let killed = ledger.kills(connection).since(before);
        job.judge(way.name(), Some(timeout), killed, &error);
        None
    }
}

/// Returns the connection, unless the guard kept it.
async fn run(
    way: Way,
    wanted: &Wanted<'_>,
    mut conn: Pooled,
    job: &mut Job<'_>,
) -> Result<Option<Pooled>, Error> {
    match way {
        Way::With => wanted.lock.with(&mut conn, async |conn| work(job, conn).await).await?,
        Way::Transaction => {
            wanted.lock.transaction(&mut conn, async |conn| work(job, conn).await).await?;
        }
        Way::Release => {
            let mut guard = wanted.lock.acquire(&mut conn).await?;
            work(job, &mut guard).await?;
            guard.release().await?;
        }
        Way::Drop => {
            let mut guard = wanted.lock.acquire(&mut conn).await?;
            work(job, &mut guard).await?;
            drop(guard);
            return Ok(None);
        }
        Way::Owned => {
            let mut guard = wanted.lock.acquire_owned(conn).await.map_err(Error::from)?;
            work(job, &mut guard).await?;
            return guard.release().await.map(Some);
        }
        Way::Set => wanted.set.transaction(&mut conn, async |conn| work(job, conn).await).await?,
        Way::TablesWith => {
            wanted.tables.with(&mut conn, async |conn| work(job, conn).await).await?;
        }
        Way::TablesRollback => {
            let mut guard = wanted.tables.acquire(&mut conn).await?;
            work(job, &mut guard).await?;
            guard.rollback().await?;
        }
        Way::TablesDrop => {
            let mut guard = wanted.tables.acquire(&mut conn).await?;
            work(job, &mut guard).await?;
            drop(guard);
            return Ok(None);
        }
    }
    Ok(Some(conn))
}

/// The same as [`Job::body`].
async fn work(job: &mut Job<'_>, conn: &mut AsyncMysqlConnection) -> Result<(), Error> {
    job.ledger.waited(job.started.elapsed());
    let _inside = job.ledger.enter(job.place, job.connection);
    let (table, row) = job.fence.clone();
    let read = counter(conn, &table, row, "").await?;
    conn.batch_execute(&format!("DO SLEEP(0.{:03})", job.hold_ms)).await?;
    if job.panics {
        job.ledger.outcome("panics");
        resume_unwind(Box::new(Planned));
    }
    if job.fails {
        return Err(Error::Diesel(DieselError::RollbackTransaction));
    }
    job.counted = Counted::Perhaps;
    let raised = diesel::sql_query(format!(
        "UPDATE {table} SET counter = counter + 1 WHERE id = ? AND counter = ?"
    ))
    .bind::<Integer, _>(row)
    .bind::<BigInt, _>(read)
    .execute(conn)
    .await?;
    job.counted = Counted::Yes;
    if raised != 1 {
        job.counted = Counted::No;
        // As in `Job::body`.
        if counter(conn, &table, row, " FOR UPDATE").await? != read {
            job.ledger
                .fault(format!("another connection has raised the counter of lock {}", job.place));
        }
    }
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    counter: i64,
}

async fn counter(
    conn: &mut AsyncMysqlConnection,
    table: &str,
    row: i32,
    how: &str,
) -> QueryResult<i64> {
    let counter = diesel::sql_query(format!("SELECT counter FROM {table} WHERE id = {row}{how}"));
    counter.get_result::<Row>(conn).await.map(|row| row.counter)
}

#[derive(diesel::QueryableByName)]
struct Session {
    #[diesel(sql_type = Unsigned<BigInt>)]
    id: u64,
    #[diesel(sql_type = Text)]
    variables: String,
}

async fn session(conn: &mut AsyncMysqlConnection) -> QueryResult<(u64, String)> {
    let query = format!("SELECT CONNECTION_ID() AS id, {} AS variables", scene::SESSION);
    let session: Session = diesel::sql_query(query).get_result(conn).await?;
    Ok((session.id, session.variables))
}
