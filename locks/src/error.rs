//! What can go wrong, one variant for each thing that a caller handles differently.

use std::time::Duration;

use diesel::result::Error as DieselError;

/// Why a lock was not taken, or was not held to the end.
///
/// Converts from and into [`diesel::result::Error`], so that a body may return
/// [`QueryResult`](diesel::QueryResult); either way and back, nothing of the error is lost.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Somebody else held the lock until the limit was reached.
    ///
    /// Try again later, or do without.
    #[non_exhaustive]
    #[error("{what} was not free within {limit:?}{}", held_by(*.holder))]
    Timeout {
        /// Which lock, or which tables.
        what: String,
        /// The limit of the wait. For table locks the server takes whole seconds.
        limit: Duration,
        /// The connection that held a named lock when the wait ended, if it could be found out.
        holder: Option<u64>,
    },

    /// The server saw that this wait would never end: a cycle of locks, each held by a connection
    /// that waits for the next.
    ///
    /// Release what this connection holds and start again; always taking locks in the same order
    /// avoids it.
    #[non_exhaustive]
    #[error("waiting for {what} would never end: the server found a deadlock")]
    Deadlock {
        /// Which lock, or which tables.
        what: String,
    },

    /// The wait, or the call, was cut short: by `KILL QUERY`, or by a limit that an administrator
    /// has set for statements (`max_statement_time` on MariaDB).
    ///
    /// Nothing is held. Whether to try again depends on who interrupted it.
    #[non_exhaustive]
    #[error("the server interrupted the statement for {what}")]
    Interrupted {
        /// Which lock, or which tables.
        what: String,
    },

    /// This connection does not hold the lock, or holds it no more.
    ///
    /// Work that was done under it was not exclusive to its end.
    #[non_exhaustive]
    #[error("{what} is not held by this connection")]
    NotHeld {
        /// Which lock.
        what: String,
    },

    /// A name that cannot be used on this server.
    #[non_exhaustive]
    #[error("invalid name {name:?}: {reason}")]
    InvalidName {
        /// The name, with the database prefix where the server has seen it.
        name: String,
        /// What is wrong with it: for a name that is too long, its length and the limit.
        reason: String,
    },

    /// A named lock's prefix, or a table, needs a default database and the connection has none.
    ///
    /// Name one in the connection's URL, or use [`Lock::server_wide`](crate::Lock::server_wide).
    #[error("the connection has no default database")]
    NoDatabase,

    /// A transaction is open where none may be: the call would have committed it, or released the
    /// lock before its end.
    ///
    /// Take the lock first and begin the transaction inside. Transactions that were begun with
    /// plain SQL are found too.
    #[error("a transaction is open on this connection: take the lock first")]
    InTransaction,

    /// A [`TableLock`](crate::TableLock) that names no table.
    #[error("a table lock needs at least one table")]
    NoTables,

    /// This server cannot answer.
    #[non_exhaustive]
    #[error("{what} is not supported by this server: {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do about it.
        remedy: String,
    },

    /// Everything else: Diesel's error, unchanged. An unknown table, a missing privilege, a lost
    /// connection.
    #[error(transparent)]
    Diesel(DieselError),
}

fn held_by(holder: Option<u64>) -> String {
    holder.map_or_else(String::new, |id| format!(": connection {id} holds it"))
}

impl From<DieselError> for Error {
    /// Gives back the lock's error where Diesel's was made of one.
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::QueryBuilderError(inner) => match inner.downcast::<Error>() {
                Ok(error) => *error,
                Err(inner) => Self::Diesel(DieselError::QueryBuilderError(inner)),
            },
            error => Self::Diesel(error),
        }
    }
}

impl From<Error> for DieselError {
    /// Diesel's own errors come out as they went in; the others are carried by
    /// [`QueryBuilderError`](DieselError::QueryBuilderError).
    fn from(error: Error) -> Self {
        match error {
            Error::Diesel(error) => error,
            error => Self::QueryBuilderError(Box::new(error)),
        }
    }
}

/// An owned guard could not be had: the error, and the connection that was given for it.
///
/// Converts into [`Error`] and into [`diesel::result::Error`], which drops the connection, so that
/// `?` works where nobody needs it back.
#[derive(thiserror::Error)]
#[error("{error}")]
pub struct AcquireOwnedError<Conn> {
    /// Why the lock was not taken.
    pub error: Error,
    /// The connection, as it was before.
    pub conn: Conn,
}

impl<Conn> std::fmt::Debug for AcquireOwnedError<Conn> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcquireOwnedError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<Conn> From<AcquireOwnedError<Conn>> for Error {
    fn from(failed: AcquireOwnedError<Conn>) -> Self {
        failed.error
    }
}

impl<Conn> From<AcquireOwnedError<Conn>> for DieselError {
    fn from(failed: AcquireOwnedError<Conn>) -> Self {
        failed.error.into()
    }
}
