//! Diesel's transactions under a lock, and the sentinel that shows whether one is still open.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use diesel::result::Error as DieselError;

use crate::error::{Error, OpenTransaction};
use crate::server_error::{
    ErrorKind, ServerError, close, connection_lost, in_step_or_close, number, retry_or_close,
};
use crate::statement::transaction as statements;
pub(crate) use crate::statement::transaction::Ending;
use crate::statement::transaction::{Batch, ScopeId};
use crate::wire::Wire;

/// A savepoint at the beginning of a transaction. It is gone when something has ended the
/// transaction or the table locks: DDL, `COMMIT`, `BEGIN`, `UNLOCK TABLES`, an InnoDB deadlock.
///
/// No two open scopes use the same name, and the session has a variable with the scope's number, so
/// that the end of a transaction is never run on another connection.
#[derive(Debug)]
pub(crate) struct Sentinel {
    id: ScopeId,
    /// Whether other scopes may use the name again, afterwards.
    frees_name: AtomicBool,
}

/// The names that no open scope uses, and how many there are.
static SAVEPOINTS: Mutex<(Vec<u64>, u64)> = Mutex::new((Vec::new(), 0));

impl Sentinel {
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed) % ScopeId::LAST + 1;
        let (unused, last) = &mut *SAVEPOINTS.lock().unwrap_or_else(PoisonError::into_inner);
        let savepoint = unused.pop().unwrap_or_else(|| {
            *last += 1;
            *last
        });
        Self { id: ScopeId { number, savepoint }, frees_name: true.into() }
    }

    pub(crate) fn id(&self) -> ScopeId {
        self.id
    }

    /// Ends the transaction by a batch that begins with the release of the savepoint. If that
    /// fails, by statements that end whatever is open, one by one: nothing is committed then.
    pub(crate) async fn end(
        &self,
        ending: Ending,
        batch: &str,
        restore: fn(Batch) -> String,
        lock: &str,
        conn: &mut impl Wire,
    ) -> Result<(), Error> {
        in_step_or_close(conn).await?;
        let depth = conn.depth();
        if let Ok(1) = depth {
            let Err(error) = conn.batch(batch).await else {
                conn.forget_transactions();
                return Ok(());
            };
            let failed = ServerError::diagnose(error, conn).await;
            if failed.kind != ErrorKind::ConnectionLost {
                self.clean_up(restore, lock, conn).await?;
            }
            return Err(match failed.kind {
                // Only the beginning of a transaction may be refused so.
                ErrorKind::InTransaction => Error::Diesel(failed.into_diesel()),
                _ => failed.into_error(lock),
            });
        }
        self.clean_up(restore, lock, conn).await?;
        match (depth, ending) {
            // By Diesel's own functions.
            (Ok(0), _) => Err(Error::TransactionEnded { lock: lock.to_owned() }),
            (Ok(_), Ending::RollBack) => Ok(()),
            (Ok(_), Ending::Commit) => {
                Err(Error::InTransaction { when: OpenTransaction::LeftByBody })
            }
            (Err(error), _) => Err(Error::Diesel(error)),
        }
    }

    /// Returns whether the connection is the one on which this sentinel was set, and still is in
    /// its scope. If the server does not answer, the connection is closed.
    pub(crate) async fn is_on(&self, conn: &mut impl Wire) -> Result<bool, Error> {
        match number(conn, &statements::is_in_scope(self.id)).await {
            Ok(answer) => Ok(answer == Some(1)),
            Err(error) => {
                close(conn).await;
                Err(connection_lost(error))
            }
        }
    }

    /// Leaves another connection alone.
    async fn clean_up(
        &self,
        restore: fn(Batch) -> String,
        lock: &str,
        conn: &mut impl Wire,
    ) -> Result<(), Error> {
        let batch = Batch::End(self.id);
        if !self.is_on(conn).await? {
            // The savepoint may still be on the connection that is not here any more.
            self.frees_name.store(false, Ordering::Relaxed);
            retry_or_close(conn, &statements::restore_batch(batch)).await?;
            return Err(Error::NotHeld { lock: lock.to_owned(), committed: Some(false) });
        }
        end_one_by_one(&restore(batch), conn).await
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if *self.frees_name.get_mut() {
            let mut savepoints = SAVEPOINTS.lock().unwrap_or_else(PoisonError::into_inner);
            savepoints.0.push(self.id.savepoint);
        }
    }
}

/// Ends whatever is open, and restores the session. `ROLLBACK` first: the others would commit.
pub(crate) async fn end_one_by_one(restore: &str, conn: &mut impl Wire) -> Result<(), Error> {
    for statement in [statements::ROLLBACK, statements::UNLOCK, restore] {
        retry_or_close(conn, statement).await?;
    }
    conn.forget_transactions();
    Ok(())
}

/// Refuses if Diesel knows of an open transaction, without asking the server.
pub(crate) fn refuse_open(conn: &mut impl Wire) -> Result<(), Error> {
    match conn.depth() {
        Ok(0) => Ok(()),
        Ok(_) if conn.is_test_transaction() => {
            Err(Error::InTransaction { when: OpenTransaction::Test })
        }
        Ok(_) => Err(Error::InTransaction { when: OpenTransaction::Before }),
        Err(error) => Err(Error::Diesel(error)),
    }
}

/// A transaction under a lock.
#[derive(Debug)]
pub(crate) enum Transaction {
    Whole {
        sentinel: Sentinel,
        /// After how many seconds without a request the server ends it.
        idle: Option<u64>,
    },
    /// A savepoint of Diesel's in one of its test transactions, at this depth.
    InTest { depth: u32 },
}

impl Transaction {
    /// Refuses if Diesel knows of an open transaction that is not a test's.
    pub(crate) fn refuse_open(conn: &mut impl Wire) -> Result<(), Error> {
        if conn.is_test_transaction() { Ok(()) } else { refuse_open(conn) }
    }

    /// Begins a transaction where none is open.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] if one is, even one that Diesel never saw.
    pub(crate) async fn begin(
        lock: &str,
        idle: Option<u64>,
        conn: &mut impl Wire,
    ) -> Result<Self, Error> {
        if conn.is_test_transaction() {
            let depth = conn.depth().map_err(Error::Diesel)?;
            let Err(error) = conn.begin_nested().await else {
                return Ok(Self::InTest { depth: depth + 1 });
            };
            return Err(ServerError::diagnose(error, conn).await.into_error(lock));
        }
        let sentinel = Sentinel::new();
        let batch = Batch::Begin(sentinel.id());
        let error = match conn.begin(&statements::begin(sentinel.id(), idle)).await {
            Ok(()) => return Ok(Self::Whole { sentinel, idle }),
            Err(DieselError::AlreadyInTransaction) => {
                return Err(Error::InTransaction { when: OpenTransaction::Before });
            }
            Err(error) => error,
        };
        let failed = ServerError::diagnose_batch(error, conn).await;
        match failed.kind {
            ErrorKind::ConnectionLost => {}
            // Nothing else was run, and the transaction that is open is the caller's.
            ErrorKind::InTransaction => {
                retry_or_close(conn, &statements::restore_batch(batch)).await?;
            }
            _ if sentinel.is_on(conn).await? => {
                retry_or_close(conn, statements::ROLLBACK).await?;
                retry_or_close(conn, &statements::leave_scope(batch)).await?;
            }
            _ => retry_or_close(conn, &statements::restore_batch(batch)).await?,
        }
        Err(failed.into_error(lock))
    }

    /// Commits or rolls back.
    ///
    /// # Errors
    ///
    /// If the transactions that the body began were not all ended, everything is rolled back.
    pub(crate) async fn end(
        &self,
        ending: Ending,
        lock: &str,
        conn: &mut impl Wire,
    ) -> Result<(), Error> {
        match self {
            Self::Whole { sentinel, idle } => {
                let batch = statements::end(sentinel.id(), ending, *idle);
                sentinel.end(ending, &batch, statements::leave_scope, lock, conn).await
            }
            &Self::InTest { depth } => end_in_test(depth, ending, lock, conn).await,
        }
    }
}

async fn end_in_test(
    depth: u32,
    ending: Ending,
    lock: &str,
    conn: &mut impl Wire,
) -> Result<(), Error> {
    in_step_or_close(conn).await?;
    let mut result = Ok(());
    if conn.depth().is_ok_and(|open| open < depth) {
        // By Diesel's own functions.
        result = Err(Error::TransactionEnded { lock: lock.to_owned() });
    }
    loop {
        let open = conn.depth().map_err(Error::Diesel)?;
        if open < depth {
            return result;
        }
        if open > depth && ending == Ending::Commit {
            result = Err(Error::InTransaction { when: OpenTransaction::LeftByBody });
        }
        let commits = ending == Ending::Commit && result.is_ok();
        let ended = if commits { conn.commit().await } else { conn.roll_back().await };
        if let Err(error) = ended {
            let failed = ServerError::diagnose(error, conn).await.into_error(lock);
            result = result.and(Err(failed));
            if conn.depth().is_ok_and(|now| now >= open) {
                return result;
            }
        }
    }
}
