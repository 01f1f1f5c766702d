//! What the threads do: take a lock in one of all the ways that there are, work, let it go.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, PooledConnection};
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer, Unsigned};
use diesel_locks::{AcquireOwnedError, Error, Lock, TableLock};

use crate::killer::Slot;
use crate::ledger::Ledger;
use crate::scene::{self, Connections};

type Pooled = PooledConnection<ConnectionManager<MysqlConnection>>;

/// A panic that is part of the programme.
struct Planned;

/// One use of a lock, by one connection.
struct Job<'l> {
    ledger: &'l Ledger,
    connection: u64,
    /// Which of all locks, the tables among them.
    place: usize,
    /// The table of its counter, and the row.
    fence: (String, i32),
    hold_ms: u32,
    panics: bool,
    fails: bool,
    asked: Instant,
    counted: Counted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    No,
    Yes,
    /// The statement was sent, and there was no answer.
    Perhaps,
}

impl Job<'_> {
    /// Works under the lock.
    fn body(&mut self, conn: &mut MysqlConnection) -> Result<(), Error> {
        self.ledger.waited(self.asked.elapsed());
        let _inside = self.ledger.enter(self.place, self.connection);
        let (table, row) = self.fence.clone();
        let read: i64 = diesel::select(
            sql::<BigInt>(&format!("(SELECT counter FROM {table} WHERE id = "))
                .bind::<Integer, _>(row)
                .sql(")"),
        )
        .get_result(conn)
        .map_err(Error::Diesel)?;
        diesel::sql_query(format!("DO SLEEP(0.{:03})", self.hold_ms)).execute(conn)?;
        if self.panics {
            self.ledger.outcome("panics");
            resume_unwind(Box::new(Planned));
        }
        if self.fails {
            return Err(Error::Diesel(DieselError::RollbackTransaction));
        }
        self.counted = Counted::Perhaps;
        let raised = diesel::sql_query(format!(
            "UPDATE {table} SET counter = counter + 1 WHERE id = ? AND counter = ?"
        ))
        .bind::<Integer, _>(row)
        .bind::<BigInt, _>(read)
        .execute(conn)?;
        self.counted = Counted::Yes;
        if raised != 1 {
            self.counted = Counted::No;
            self.ledger.fault(format!("another has raised the counter of {}", self.place));
        }
        Ok(())
    }

    /// Whether the error may be, and how it counts.
    fn judge(&self, way: &str, limit: Option<Duration>, struck: bool, error: &Error) {
        let (ledger, took) = (self.ledger, self.asked.elapsed());
        match error {
            Error::Timeout { .. } => {
                ledger.outcome("timeouts");
                // The second lock of "nested" has a limit of its own.
                if way != "nested" && limit.is_none_or(|limit| took < limit) {
                    ledger.fault(format!("{way}: timed out after {took:?} of {limit:?}"));
                }
            }
            // Also to one who waits for a lock of the cycle without being part of it: seen on both servers.
            Error::Deadlock { .. } if way != "table" => ledger.outcome("deadlocks"),
            Error::Diesel(DieselError::RollbackTransaction) => ledger.outcome("failures"),
            Error::Interrupted { .. } if struck => ledger.outcome("interrupted"),
            _ if struck => ledger.outcome("lost"),
            error => ledger.fault(format!("{way}: {error:?}, and nobody had struck")),
        }
    }
}

/// Ways to take and release a named lock.
const WAYS: [&str; 8] =
    ["with", "try_with", "transaction", "release", "drop", "owned", "leak", "nested"];

pub(crate) fn work(
    pool: &Connections,
    locks: usize,
    ledger: &Ledger,
    slot: &Slot,
    random: &mut fastrand::Rng,
    deadline: Instant,
) {
    while Instant::now() < deadline {
        // The pool asks each connection whether it lives before it gives it away.
        let Ok(mut conn) = pool.get() else {
            ledger.outcome("no connection");
            continue;
        };
        let Ok(id) =
            diesel::select(sql::<Unsigned<BigInt>>("CONNECTION_ID()")).get_result(&mut conn)
        else {
            continue;
        };
        match Lock::release_all(&mut conn) {
            Ok(0) => {}
            Ok(left) => ledger.fault(format!("{left} locks were left on connection {id}")),
            Err(_) => continue,
        }
        slot.set(Some(id));
        for _ in 0..random.u32(1..20) {
            let Some(same) = job(conn, id, locks, ledger, random) else { break };
            conn = same;
            if Instant::now() > deadline || ledger.strikes(id).killed {
                break;
            }
        }
        slot.set(None);
    }
}

/// Gives the connection back, if it was not lost with the lock.
fn job(
    mut conn: Pooled,
    connection: u64,
    locks: usize,
    ledger: &Ledger,
    random: &mut fastrand::Rng,
) -> Option<Pooled> {
    let before = ledger.strikes(connection);
    let number = random.usize(..locks);
    let mut job = Job {
        ledger,
        connection,
        place: number,
        fence: ("fences".to_owned(), i32::try_from(number).unwrap_or_default()),
        hold_ms: if random.u32(..50) == 0 { 100 } else { random.u32(..5) },
        panics: random.u32(..50) == 0,
        fails: random.u32(..50) == 0,
        asked: Instant::now(),
        counted: Counted::No,
    };
    let name = scene::name(number);
    let limit =
        *random.choice(&[Some(50), Some(250), Some(1_000), Some(2_500), None]).unwrap_or(&None);
    let limit = limit.map(Duration::from_millis);
    let lock = Lock::new(&name);
    let lock = limit.map_or(lock.without_timeout(), |limit| lock.timeout(limit));
    let way =
        if random.u32(..20) == 0 { "table" } else { *random.choice(&WAYS).unwrap_or(&"with") };
    // Another one: after a kill nobody can tell how often a lock is still held.
    let second = scene::name((number + random.usize(1..locks)) % locks);
    if way == "table" {
        let table = number % scene::TABLES;
        job.place = locks + table;
        job.fence = (format!("fence_{table}"), 0);
    }

    let result = catch_unwind(AssertUnwindSafe(|| match way {
        "with" => lock.with(&mut conn, |conn| job.body(conn)).map(|()| Some(conn)),
        "try_with" => lock.try_with(&mut conn, |conn| job.body(conn)).map(|_| Some(conn)),
        "transaction" => lock.transaction(&mut conn, |conn| job.body(conn)).map(|()| Some(conn)),
        "release" => {
            let mut guard = lock.acquire(&mut conn)?;
            job.body(&mut guard)?;
            guard.release()?;
            Ok(Some(conn))
        }
        "drop" => {
            let mut guard = lock.acquire(&mut conn)?;
            job.body(&mut guard)?;
            drop(guard);
            Ok(Some(conn))
        }
        "owned" => {
            let owned = lock.acquire_owned(conn).map_err(|AcquireOwnedError { error, .. }| error);
            let mut guard = owned?;
            job.body(&mut guard)?;
            guard.release().map(Some)
        }
        "leak" => {
            lock.acquire(&mut conn)?.leak();
            let worked = catch_unwind(AssertUnwindSafe(|| job.body(&mut conn)));
            let released = lock.release(&mut conn);
            worked.unwrap_or_else(|panic| resume_unwind(panic))?;
            released.map(|()| Some(conn))
        }
        "nested" => {
            let mut guard = lock.acquire(&mut conn)?;
            // In any order, so that some of these wait for each other.
            let inner = Lock::new(&second).timeout(Duration::from_millis(50));
            drop(inner.acquire(&mut guard)?);
            job.body(&mut guard)?;
            guard.release()?;
            Ok(Some(conn))
        }
        _ => {
            let tables = TableLock::new().write_table(job.fence.0.as_str());
            let tables = limit.map_or(tables.clone(), |limit| tables.timeout(limit));
            tables.with(&mut conn, |conn| job.body(conn)).map(|()| Some(conn))
        }
    }));

    // Where there is a transaction, its end decides.
    let decided = !matches!(way, "transaction" | "table") || matches!(result, Ok(Ok(_)));
    match (job.counted, decided) {
        (Counted::Yes, true) => ledger.handed_over(),
        (Counted::Yes, false) | (Counted::Perhaps, _) => ledger.uncertain(),
        (Counted::No, _) => {}
    }
    let error = match result {
        Ok(Ok(conn)) => return conn,
        Ok(Err(error)) => error,
        Err(panic) if panic.is::<Planned>() => return None,
        Err(panic) => resume_unwind(panic),
    };
    let struck = ledger.strikes(connection).since(before);
    job.judge(way, limit, struck, &error);
    None
}
