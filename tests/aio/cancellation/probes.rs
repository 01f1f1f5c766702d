//! What is asked on a connection on which something was cancelled: the answer is right, or an
//! error.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicI32, Ordering};

use diesel::sql_types::Integer;
use diesel::{ExpressionMethods as _, IntoSql as _, QueryResult};
use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _,
};
use diesel_locks::Error;
use diesel_locks::aio::{Lock, TableLock};
use futures_util::FutureExt as _;

use crate::support::{Admin, Database, number, soon};

diesel::table! {
    work (n) {
        n -> Integer,
    }
}

/// A lock that another connection holds.
pub(super) const BUSY: Lock = Lock::new("busy");

/// A lock that no other call uses.
const LATER: Lock = Lock::new("later");

/// The ways to use a connection again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Diesel finds it among its prepared statements.
    CachedInsert,
    CachedSelect,
    UncachedSelect,
    Batch,
    Transaction,
    AcquireBusy,
    InspectBusy,
    Acquire,
    ReleaseAll,
    LockTables,
}

impl Probe {
    pub(super) const ALL: [Self; 10] = [
        Self::CachedInsert,
        Self::CachedSelect,
        Self::UncachedSelect,
        Self::Batch,
        Self::Transaction,
        Self::AcquireBusy,
        Self::InspectBusy,
        Self::Acquire,
        Self::ReleaseAll,
        Self::LockTables,
    ];

    /// Makes Diesel cache those statements of probes that need no table.
    pub(super) async fn warm_up_select(conn: &mut AsyncMysqlConnection) {
        select(1, conn).await.unwrap();
    }

    /// Makes Diesel cache the statements of probes.
    pub(super) async fn warm_up(conn: &mut AsyncMysqlConnection) {
        Self::warm_up_select(conn).await;
        conn.begin_test_transaction().await.unwrap();
        insert(1, conn).await.unwrap();
        roll_back(conn).await;
    }

    /// Its calls return an error.
    fn is_of_the_library(self) -> bool {
        use Probe::{Acquire, AcquireBusy, InspectBusy, LockTables, ReleaseAll};
        matches!(self, Acquire | AcquireBusy | InspectBusy | LockTables | ReleaseAll)
    }

    /// Asks, and returns what the server must have by now.
    pub(super) async fn ask(self, conn: &mut AsyncMysqlConnection) -> Result<Claim, String> {
        static LAST: AtomicI32 = AtomicI32::new(1_000);
        let n = LAST.fetch_add(1, Ordering::Relaxed);
        let written = |result: QueryResult<usize>| match result {
            Ok(1) => Ok(Claim::Row(n)),
            Ok(rows) => panic!("{self:?}: {rows} rows were inserted"),
            Err(error) => Err(error.to_string()),
        };
        match self {
            Self::CachedInsert => written(insert(n, conn).await),
            Self::Batch => {
                let insert = format!("INSERT INTO work VALUES ({n})");
                written(conn.batch_execute(&insert).await.map(|()| 1))
            }
            Self::Transaction => {
                written(conn.transaction(async |conn| insert(n, conn).await).await)
            }
            Self::CachedSelect => match select(n, conn).await {
                Ok(answer) => {
                    assert_eq!(answer, n, "{self:?}");
                    Ok(Claim::Nothing)
                }
                Err(error) => Err(error.to_string()),
            },
            Self::UncachedSelect => match number(&n.to_string(), conn).await {
                Ok(answer) => {
                    assert_eq!(answer.to_string(), n.to_string(), "{self:?}");
                    Ok(Claim::Nothing)
                }
                Err(error) => Err(error.to_string()),
            },
            Self::AcquireBusy => match BUSY.try_acquire(conn).await {
                Ok(guard) => {
                    assert!(guard.is_none(), "another connection holds it");
                    Ok(Claim::Nothing)
                }
                Err(error) => Err(error.to_string()),
            },
            Self::InspectBusy => match BUSY.is_held(conn).await {
                Ok(held) => {
                    assert!(held, "another connection holds it");
                    Ok(Claim::Nothing)
                }
                Err(error) => Err(error.to_string()),
            },
            Self::Acquire => match LATER.acquire(conn).await {
                Ok(guard) => {
                    guard.leak();
                    Ok(Claim::Held)
                }
                Err(error) => Err(error.to_string()),
            },
            Self::ReleaseAll => match Lock::release_all(conn).await {
                Ok(_) => Ok(Claim::NothingHeld),
                Err(error) => Err(error.to_string()),
            },
            Self::LockTables => match TableLock::new().write_table("work").acquire(conn).await {
                Ok(mut guard) => {
                    let inserted = insert(n, &mut guard).await;
                    let released: Result<_, Error> = guard.release().await;
                    released.map_err(|error| error.to_string())?;
                    written(inserted)
                }
                Err(error) => Err(error.to_string()),
            },
        }
    }
}

/// How queries panic on a connection that could not be closed otherwise.
const CLOSED: &str = "this connection was closed, because a call of diesel-locks was cancelled";

/// What an answer claims of the server.
#[derive(Debug)]
pub(super) enum Claim {
    Nothing,
    /// This row is committed.
    Row(i32),
    /// The connection holds the lock [`LATER`].
    Held,
    /// It holds no lock.
    NothingHeld,
}

impl Claim {
    pub(super) async fn check(&self, id: u64, database: &Database, admin: &mut Admin) {
        match self {
            Self::Nothing => {}
            Self::Row(n) => {
                let rows =
                    format!("(SELECT COUNT(*) FROM `{}`.work WHERE n = {n})", database.name());
                assert_eq!(number(&rows, &mut admin.conn).await, Ok(1), "row {n}");
            }
            Self::Held => {
                let held = admin.holder(&database.full_name(LATER.name())).await;
                assert_eq!(held, Some(id), "the lock that was acquired");
            }
            Self::NothingHeld => {
                let held = admin.holder(&database.full_name(LATER.name())).await;
                assert_eq!(held, None, "the lock that was released");
            }
        }
    }
}

/// Uses the connection again in every way, this one first.
pub(super) async fn ask_all(
    first: Probe,
    conn: &mut AsyncMysqlConnection,
    id: u64,
    database: &Database,
    admin: &mut Admin,
) {
    let first_of_all = Probe::ALL.iter().position(|probe| *probe == first).unwrap();
    for i in 0..Probe::ALL.len() {
        let probe = Probe::ALL[(first_of_all + i) % Probe::ALL.len()];
        let asked = AssertUnwindSafe(probe.ask(conn)).catch_unwind();
        match soon(&format!("{probe:?}"), asked).await {
            Ok(Ok(claim)) => claim.check(id, database, admin).await,
            Ok(Err(_)) => {}
            Err(panic) => match panic.downcast_ref::<&str>() {
                Some(reason) if reason.contains(CLOSED) && !probe.is_of_the_library() => {}
                _ => resume_unwind(panic),
            },
        }
    }
}

async fn insert(n: i32, conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
    diesel::insert_into(work::table).values(work::n.eq(n)).execute(conn).await
}

async fn select(n: i32, conn: &mut AsyncMysqlConnection) -> QueryResult<i32> {
    diesel::select(n.into_sql::<Integer>()).get_result(conn).await
}

async fn roll_back(conn: &mut AsyncMysqlConnection) {
    use diesel_async::{AnsiTransactionManager, TransactionManager as _};
    AnsiTransactionManager::rollback_transaction(conn).await.unwrap();
}
