//! Locks tables, and restores the session afterwards.

use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::TableLock;
use crate::error::{Error, OpenTransaction};
use crate::scope::{Ending, Held};
use crate::server_error::{ErrorKind, ServerError, close, number, retry_or_close};
use crate::statement::{tables, transaction};
use crate::timeout::table_wait_seconds;
use crate::trace::AcquireSpan;
use crate::transaction::{Sentinel, refuse_open};
use crate::wire::{Wire, abandon_on_panic, now};

/// The kind of lock, for `tracing`.
const KIND: &str = "table lock";

/// Tables that a connection has locked.
#[derive(Debug)]
pub(crate) struct HeldTables {
    tables: String,
    sentinel: Sentinel,
}

impl Held for HeldTables {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        &self.tables
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        let batch = tables::end(self.sentinel.number(), ending);
        let restore = tables::restore();
        self.sentinel.end(ending, &batch, &clean_up(&restore), &self.tables, conn).await
    }
}

/// `ROLLBACK` first: what may still be open would be committed by the others.
fn clean_up(restore: &str) -> [&str; 3] {
    [transaction::ROLLBACK, tables::UNLOCK, restore]
}

impl TableLock {
    pub(crate) fn hold(&self, conn: &mut MysqlConnection) -> Result<HeldTables, Error> {
        abandon_on_panic(conn, |conn| {
            let span = AcquireSpan::new(KIND, &self.list(), self.timeout);
            let held = span.in_scope(|| now(lock(self, conn)));
            span.end(held, |_| "acquired")
        })
    }

    /// Refuses what no server needs to be asked about.
    pub(super) fn refuse_unusable(&self) -> Result<(), Error> {
        if let Some((name, reason)) = self.tables.invalid() {
            return Err(Error::InvalidName { name: name.to_owned(), reason: reason.to_owned() });
        }
        if self.tables.is_empty() { Err(Error::NoTables) } else { Ok(()) }
    }
}

async fn lock(lock: &TableLock, conn: &mut impl Wire) -> Result<HeldTables, Error> {
    lock.refuse_unusable()?;
    refuse_open(conn)?;
    let sentinel = Sentinel::new();
    let held = HeldTables { tables: lock.list().to_string(), sentinel };
    let seconds = lock.timeout.map(table_wait_seconds);
    let batch = tables::begin(sentinel.number(), &lock.tables, seconds);
    match conn.begin(&batch).await {
        Ok(()) => Ok(held),
        Err(DieselError::AlreadyInTransaction) => {
            Err(Error::InTransaction { when: OpenTransaction::Before })
        }
        Err(error) => {
            let failed = ServerError::diagnose(error, conn).await;
            Err(undo(&held.tables, seconds, failed, conn).await.unwrap_or_else(|error| error))
        }
    }
}

/// After a failed batch, of which any statement may have been run: the error that says why.
async fn undo(
    tables: &str,
    seconds: Option<u64>,
    failed: ServerError,
    conn: &mut impl Wire,
) -> Result<Error, Error> {
    match failed.kind {
        ErrorKind::ConnectionLost => return Ok(failed.into_error(tables)),
        // Nothing else was run, and the transaction that is open is the caller's.
        ErrorKind::InTransaction => {
            retry_or_close(conn, &tables::restore_batch()).await?;
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
    match number(conn, tables::IS_CHANGED).await {
        Ok(Some(0)) => retry_or_close(conn, &tables::restore_batch()).await?,
        Ok(_) => {
            for statement in clean_up(&tables::restore()) {
                retry_or_close(conn, statement).await?;
            }
        }
        Err(error) => {
            close(conn).await;
            return Err(Error::ConnectionLost(error));
        }
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
        _ => failed.into_error(tables),
    })
}

fn unsupported(tables: &str, failed: &ServerError, remedy: &str) -> Error {
    Error::Unsupported {
        what: format!("a lock on the tables {tables}"),
        remedy: format!("{remedy} ({})", failed.message()),
    }
}
