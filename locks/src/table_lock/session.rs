//! Locks tables, and restores the session afterwards.

use std::time::Duration;

use diesel::result::Error as DieselError;

use super::TableLock;
use crate::error::{Error, OpenTransaction};
use crate::scope::{Ending, Held};
use crate::server_error::{ErrorKind, ServerError, in_step, number, retry_or_close};
use crate::statement::tables;
use crate::statement::transaction::{self, Batch};
use crate::timeout::table_wait_seconds;
use crate::trace::AcquireSpan;
use crate::transaction::{Sentinel, end_one_by_one, refuse_open};
use crate::wire::Wire;
#[cfg(feature = "mysql")]
use crate::wire::{abandon_on_panic, now};

/// The kind of lock, for `tracing`.
const KIND: &str = "table lock";

/// Tables that a connection has locked.
#[derive(Debug)]
pub(crate) struct HeldTables {
    tables: String,
    sentinel: Sentinel,
    timed: bool,
}

impl Held for HeldTables {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        &self.tables
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        let batch = tables::end(self.sentinel.id(), ending, self.timed);
        self.sentinel.end(ending, &batch, tables::restore, &self.tables, conn).await
    }
}

impl TableLock {
    #[cfg(feature = "mysql")]
    pub(crate) fn hold(&self, conn: &mut diesel::MysqlConnection) -> Result<HeldTables, Error> {
        abandon_on_panic(conn, |conn| now(hold(self, conn)))
    }

    /// Refuses what no server would accept.
    pub(super) fn refuse_unusable(&self) -> Result<(), Error> {
        if let Some((name, reason)) = self.tables.invalid() {
            return Err(Error::InvalidName { name: name.to_owned(), reason: reason.to_owned() });
        }
        if self.tables.is_empty() { Err(Error::NoTables) } else { Ok(()) }
    }
}

/// Locks the tables.
pub(crate) async fn hold(lock: &TableLock, conn: &mut impl Wire) -> Result<HeldTables, Error> {
    let span = AcquireSpan::new(KIND, &lock.list(), lock.timeout);
    let held = span.around(lock_tables(lock, conn)).await;
    span.end(held, |_| "acquired")
}

async fn lock_tables(lock: &TableLock, conn: &mut impl Wire) -> Result<HeldTables, Error> {
    lock.refuse_unusable()?;
    refuse_open(conn)?;
    let seconds = lock.timeout.map(table_wait_seconds);
    let tables = lock.list().to_string();
    in_step(&tables, conn).await?;
    let held = HeldTables { tables, sentinel: Sentinel::new(), timed: seconds.is_some() };
    let batch = tables::begin(held.sentinel.id(), &held.tables, seconds);
    let mut is_retry = false;
    loop {
        let error = match conn.begin(&batch).await {
            Ok(()) => return Ok(held),
            Err(DieselError::AlreadyInTransaction) => {
                return Err(Error::InTransaction { when: OpenTransaction::Before });
            }
            Err(error) => error,
        };
        let failed = ServerError::diagnose_batch(error, conn).await;
        let error = undo(lock, &held, seconds, failed, conn).await.unwrap_or_else(|error| error);
        let is_refused = matches!(error, Error::InTransaction { .. });
        if is_retry || !is_refused || !end_forgotten(&held.sentinel, conn).await? {
            return Err(error);
        }
        is_retry = true;
    }
}

/// Ends a lock whose guard was forgotten, unless its transaction is still open: whether it did.
async fn end_forgotten(next: &Sentinel, conn: &mut impl Wire) -> Result<bool, Error> {
    if conn.batch(&transaction::probe_open()).await.is_err() {
        return Ok(false);
    }
    retry_or_close(conn, transaction::UNLOCK).await?;
    retry_or_close(conn, &tables::restore(Batch::Begin(next.id()))).await?;
    Ok(true)
}

/// After a failed batch, of which any statement may have been run: the error that says why.
async fn undo(
    lock: &TableLock,
    held: &HeldTables,
    seconds: Option<u64>,
    failed: ServerError,
    conn: &mut impl Wire,
) -> Result<Error, Error> {
    let tables = held.tables.as_str();
    let batch = Batch::Begin(held.sentinel.id());
    match failed.kind {
        ErrorKind::ConnectionLost => return Ok(failed.into_error(tables)),
        // Nothing else was run, and the transaction that is open is the caller's.
        ErrorKind::InTransaction => {
            retry_or_close(conn, &tables::restore_begin(batch)).await?;
            return Ok(failed.into_error(tables));
        }
        _ => {}
    }
    // Before the session is restored.
    let mut timeout = seconds.map(Duration::from_secs);
    if failed.kind == ErrorKind::WaitTimeout && timeout.is_none() {
        let session = number(conn, tables::WAIT_SECONDS).await.ok().flatten();
        timeout = session.map(Duration::from_secs);
    }
    if held.sentinel.is_on(conn).await? {
        end_one_by_one(&tables::restore(batch), conn).await?;
    } else {
        retry_or_close(conn, &tables::restore_begin(batch)).await?;
    }
    Ok(match (failed.kind, timeout) {
        (ErrorKind::WaitTimeout, Some(timeout)) => {
            Error::Timeout { lock: tables.to_owned(), timeout, holder: None, is_table_lock: true }
        }
        (ErrorKind::NotUnique, _) => Error::InvalidName {
            name: tables.to_owned(),
            reason:
                "two of these tables have the same name or alias on this server: name each table \
                     once, or give it another alias"
                    .to_owned(),
        },
        (ErrorKind::NoPrivilege, _) => unsupported(
            tables,
            &failed,
            "grant this user `LOCK TABLES` and `SELECT` on the database",
        ),
        (ErrorKind::StrictMode, _) => unsupported(
            tables,
            &failed,
            "in a cluster, a strict mode has to allow table locks, which are local to each node",
        ),
        (ErrorKind::NameTooLong, _) => match longest_name(lock) {
            Some(name) => Error::InvalidName { name: name.to_owned(), reason: failed.message() },
            None => failed.into_error(tables),
        },
        _ => failed.into_error(tables),
    })
}

/// Returns the name that the server finds too long.
fn longest_name(lock: &TableLock) -> Option<&str> {
    let names = lock.tables.iter().flat_map(|table| {
        [table.name.database(), Some(table.name.table()), table.alias.as_deref()]
    });
    names.flatten().max_by_key(|name| name.chars().count())
}

fn unsupported(tables: &str, failed: &ServerError, remedy: &str) -> Error {
    Error::Unsupported {
        what: format!("a lock on the tables {tables}"),
        remedy: format!("{remedy} ({})", failed.message()),
    }
}
