//! Queries of the caller's own that were cancelled before a call: the call is right, or fails.

use diesel::{ExpressionMethods as _, QueryDsl as _, QueryResult};
use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, LockGuard, TableLock, TableLockGuard, inspect_server};
use futures_util::future::BoxFuture;

use super::kept_connections::Scene;
use super::probes::{BUSY, work};
use crate::support::{Admin, Database, Drop, Number, connection_id, number, polled, soon};

diesel::table! {
    settings (value) {
        value -> Text,
    }
}

const LOCK: Lock = Lock::new("free");

type Query = for<'c> fn(&'c mut AsyncMysqlConnection) -> BoxFuture<'c, ()>;

macro_rules! queries {
    ($($name:ident($conn:ident) $body:block)*) => {
        $(fn $name(conn: &mut AsyncMysqlConnection) -> BoxFuture<'_, ()> {
            let $conn = conn;
            Box::pin(async move {
                // Some fail where tables are locked, or Diesel knows of a cancelled transaction.
                let _: QueryResult<_> = $body;
            })
        })*

        const QUERIES: &[(&str, Query)] = &[$((stringify!($name), $name)),*];
    };
}

queries! {
    update(conn) {
        diesel::update(work::table.filter(work::n.eq(-1))).set(work::n.eq(-1)).execute(conn).await
    }
    insert(conn) {
        diesel::insert_into(work::table).values(work::n.eq(-2)).execute(conn).await
    }
    update_with_one_parameter(conn) {
        diesel::update(settings::table).set(settings::value.eq("own")).execute(conn).await
    }
    update_with_two_parameters(conn) {
        let all = settings::table.filter(settings::value.ne("other"));
        diesel::update(all).set(settings::value.eq("own")).execute(conn).await
    }
    select(conn) {
        work::table.select(work::n).load::<i32>(conn).await
    }
    select_a_row_like_that_of_in_step(conn) {
        number("1", conn).await
    }
    select_a_row_like_that_of_acquire(conn) {
        let row = "SELECT CAST(1 AS UNSIGNED) AS n, CAST(1 AS SIGNED) AS acquired";
        diesel::sql_query(row).get_result::<Number>(conn).await
    }
    select_a_row_like_that_of_is_held(conn) {
        let row = "SELECT CAST(1 AS UNSIGNED) AS n, CAST(DATABASE() AS BINARY) AS here, \
                   CAST(NULL AS UNSIGNED) AS holder, CONNECTION_ID() AS this";
        diesel::sql_query(row).get_result::<Number>(conn).await
    }
    batch(conn) {
        conn.batch_execute("DO 0").await
    }
    batch_of_several(conn) {
        conn.batch_execute("DO 0; SELECT 1; DO 1").await
    }
    failing_batch(conn) {
        conn.batch_execute("no SQL").await
    }
    transaction(conn) {
        conn.transaction(async |conn| conn.batch_execute("DO 0").await).await
    }
    get_lock(conn) {
        number("GET_LOCK('diesel-locks-own', 0) + RELEASE_LOCK('diesel-locks-own')", conn).await
    }
}

/// A query that is cancelled after some polls.
struct Cancelled {
    query: (&'static str, Query),
    polls: usize,
    drop: Drop,
}

impl Cancelled {
    /// Returns whether the query was cancelled, and not done.
    async fn run(&self, conn: &mut AsyncMysqlConnection) -> bool {
        soon(self.query.0, polled(self.polls, self.drop, self.query.1(conn))).await.is_none()
    }
}

/// A call after the query was cancelled. It checks its answer itself.
#[derive(Debug, Clone, Copy)]
enum After {
    Acquire,
    AcquireBusy,
    InspectBusy,
    InspectFree,
    Holder,
    ReleaseAll,
    InspectServer,
    LockTables,
    Transaction,
    InGuard(Under),
    InTables { commits: bool },
}

/// A call on a guard, on whose connection the query was cancelled.
#[derive(Debug, Clone, Copy)]
enum Under {
    Release,
    IsStillHeld,
    Transaction,
    InnerLock,
}

const AFTER: [After; 15] = [
    After::Acquire,
    After::AcquireBusy,
    After::InspectBusy,
    After::InspectFree,
    After::Holder,
    After::ReleaseAll,
    After::InspectServer,
    After::LockTables,
    After::Transaction,
    After::InGuard(Under::Release),
    After::InGuard(Under::IsStillHeld),
    After::InGuard(Under::Transaction),
    After::InGuard(Under::InnerLock),
    After::InTables { commits: true },
    After::InTables { commits: false },
];

impl After {
    /// Returns whether the query was cancelled.
    async fn run(
        self,
        cancelled: &Cancelled,
        conn: &mut AsyncMysqlConnection,
        id: u64,
        database: &Database,
        admin: &mut Admin,
    ) -> bool {
        let full_name = database.full_name("free");
        if let Self::InGuard(under) = self {
            let mut guard = LOCK.acquire(conn).await.unwrap();
            let was_cancelled = cancelled.run(&mut guard).await;
            let ends = matches!(under, Under::Release);
            if !ends {
                under.run(&mut guard, database, admin).await;
            }
            // It was held until now.
            if guard.release().await.is_ok() {
                assert_eq!(admin.holder(&full_name).await, None, "released");
            }
            return was_cancelled;
        }
        if let Self::InTables { commits } = self {
            let mut guard = TableLock::new().write_table("work").acquire(conn).await.unwrap();
            guard.batch_execute("INSERT INTO work VALUES (1), (2)").await.unwrap();
            let was_cancelled = cancelled.run(&mut guard).await;
            end_tables(guard, commits, database, admin).await;
            return was_cancelled;
        }
        let was_cancelled = cancelled.run(conn).await;
        match self {
            Self::Acquire => {
                if let Ok(guard) = LOCK.acquire(conn).await {
                    assert_eq!(admin.holder(&full_name).await, Some(id), "acquired");
                    let _ = guard.release().await;
                }
            }
            Self::AcquireBusy => {
                let taken = BUSY.try_acquire(conn).await.map(|guard| guard.map(LockGuard::leak));
                assert!(!matches!(taken, Ok(Some(_))), "another connection holds it");
            }
            Self::InspectBusy => assert!(!matches!(BUSY.is_held(conn).await, Ok(false))),
            Self::InspectFree => assert!(!matches!(LOCK.is_held(conn).await, Ok(true))),
            Self::Holder => {
                if let Ok(holder) = BUSY.holder(conn).await {
                    let held_by = admin.holder(&database.full_name("busy")).await;
                    assert_eq!(holder.map(|holder| holder.process.id), held_by);
                }
            }
            Self::ReleaseAll => {
                // The query's own lock may be one of them.
                if let Ok(released) = Lock::release_all(conn).await {
                    assert!(released <= 1, "{released} were released");
                }
            }
            Self::InspectServer => {
                if let Ok(server) = inspect_server(conn).await {
                    assert!(server.version.starts_with(|c: char| c.is_ascii_digit()));
                }
            }
            Self::LockTables => {
                if let Ok(guard) = TableLock::new().write_table("work").acquire(conn).await {
                    assert!(!database.has_free_tables(admin).await, "the table is locked");
                    let _ = guard.release().await;
                }
            }
            Self::Transaction => {
                let done: QueryResult<()> = LOCK
                    .transaction(conn, async |conn| {
                        conn.batch_execute("INSERT INTO work VALUES (1), (2)").await
                    })
                    .await;
                let rows = database.count_of_pairs(admin).await;
                assert!(done.is_err() || rows == 2, "{rows} rows are committed");
            }
            Self::InGuard(_) | Self::InTables { .. } => unreachable!(),
        }
        was_cancelled
    }
}

async fn end_tables(
    guard: TableLockGuard<&mut AsyncMysqlConnection>,
    commits: bool,
    database: &Database,
    admin: &mut Admin,
) {
    let ended: Result<(), Error> =
        if commits { guard.release().await.map(drop) } else { guard.rollback().await.map(drop) };
    if ended.is_ok() {
        assert!(database.has_free_tables(admin).await, "unlocked");
        let rows = database.count_of_pairs(admin).await;
        assert_eq!(rows, if commits { 2 } else { 0 }, "commits: {commits}");
    }
}

impl Under {
    async fn run(
        self,
        guard: &mut LockGuard<&mut AsyncMysqlConnection>,
        database: &Database,
        admin: &mut Admin,
    ) {
        match self {
            Self::Release => {}
            Self::IsStillHeld => assert!(!matches!(guard.is_still_held().await, Ok(false))),
            Self::Transaction => {
                let done: QueryResult<()> = guard
                    .transaction(async |conn| {
                        conn.batch_execute("INSERT INTO work VALUES (1), (2)").await
                    })
                    .await;
                let rows = database.count_of_pairs(admin).await;
                assert!(done.is_err() || rows == 2, "{rows} rows are committed");
            }
            Self::InnerLock => {
                let taken = BUSY.try_acquire(guard).await.map(|guard| guard.map(LockGuard::leak));
                assert!(!matches!(taken, Ok(Some(_))), "another connection holds it");
            }
        }
    }
}

/// Every query before every call, dropped in one of the ways: the next of them each time.
async fn cancel_before_every_call(first: usize) {
    let mut scene = Scene::set().await;
    let mut points = 0;
    for (i, after) in AFTER.into_iter().enumerate() {
        for (j, query) in QUERIES.iter().enumerate() {
            let way = first + i + j;
            let (warm, drop) = (way % 2 == 0, Drop::BOTH[way / 2 % 2]);
            points += cancel_before(after, *query, warm, drop, &mut scene).await;
        }
    }
    println!("{points} points");
}

/// At each of its polls: how many there were.
async fn cancel_before(
    after: After,
    query: (&'static str, Query),
    warm: bool,
    drop: Drop,
    scene: &mut Scene,
) -> usize {
    let mut polls = 1;
    loop {
        let mut conn = scene.database.connect().await;
        let id = connection_id(&mut conn).await;
        if warm {
            query.1(&mut conn).await;
            LOCK.acquire(&mut conn).await.unwrap().release().await.unwrap();
            assert!(BUSY.is_held(&mut conn).await.unwrap());
            inspect_server(&mut conn).await.unwrap();
        }
        let what = format!(
            "{}, dropped {drop:?} after {polls} polls, warm: {warm}, then {after:?}",
            query.0
        );
        let cancelled = Cancelled { query, polls, drop };
        let (database, admin) = (&scene.database, &mut scene.admin);
        let ran = after.run(&cancelled, &mut conn, id, database, admin);
        let was_cancelled = soon(&what, ran).await;
        // Whatever state the connection is in, the server frees what it held.
        std::mem::drop(conn);
        scene.expect_nothing_held(&what, id).await;
        if !was_cancelled {
            return polls;
        }
        polls += 1;
    }
}

#[tokio::test]
async fn a_call_after_a_cancelled_query_is_right_or_fails() {
    cancel_before_every_call(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_after_a_cancelled_query_is_right_or_fails_on_several_threads() {
    cancel_before_every_call(1).await;
}
