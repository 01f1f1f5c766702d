//! Error types.

mod acquire_owned;
mod conversion;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use diesel::result::Error as DieselError;

pub use self::acquire_owned::AcquireOwnedError;
pub use self::conversion::FromDieselError;

/// Why a lock was not acquired, or was not held to the end.
///
/// It converts from and into [`diesel::result::Error`] without a loss, so that whatever error type
/// works with Diesel works with this library's closures and attributes: they ask for `E:
/// From<diesel::result::Error>`, as [`Connection::transaction`](diesel::Connection::transaction)
/// does. [`Error::find`] finds it again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another connection held the lock until the timeout.
    ///
    /// Try again later, or do without the lock. For a table lock,
    /// [`TableLock::blockers`](crate::TableLock::blockers) lists the connections in the way.
    #[non_exhaustive]
    #[error("{}", describe_timeout(.lock, *.timeout, *.holder, *.is_table_lock))]
    Timeout {
        /// The full name of the lock, or the tables. For a set of locks the one that was busy.
        lock: String,
        /// The timeout. For table locks the server takes whole seconds.
        timeout: Duration,
        /// The connection that held a named lock when the wait ended, if known.
        holder: Option<u64>,
        #[doc(hidden)]
        is_table_lock: bool,
    },

    /// The server found a deadlock: a cycle of connections, each of which holds a lock and waits
    /// for that of the next.
    ///
    /// Release what this connection holds and start again. Acquiring locks always in the same order
    /// avoids deadlocks.
    #[non_exhaustive]
    #[error("deadlock detected while waiting for {lock}: release all locks and start again")]
    Deadlock {
        /// The full name of the lock, or the tables.
        lock: String,
    },

    /// The wait, or the call, was cut short: by `KILL QUERY`, or by a time limit that an
    /// administrator has set for statements (`max_statement_time` on MariaDB).
    ///
    /// The lock is not held. Whether to try again depends on what interrupted the wait.
    #[non_exhaustive]
    #[error("interrupted by the server while waiting for {lock}")]
    Interrupted {
        /// The full name of the lock, or the tables.
        lock: String,
    },

    /// This connection does not hold the lock, or no longer does.
    ///
    /// Work that was done under the lock was not exclusive to its end.
    #[non_exhaustive]
    #[error("{lock} is not held by this connection{}", describe_committed(*.committed))]
    NotHeld {
        /// The full name of the lock, or the tables.
        lock: String,
        /// Whether a transaction under the lock has been committed; `None` if this library ran
        /// none.
        committed: Option<bool>,
    },

    /// The body ended the transaction or the table lock under which it ran: by `COMMIT`, `BEGIN`,
    /// `UNLOCK TABLES`, a statement that commits implicitly such as `CREATE TABLE`, or an InnoDB
    /// deadlock that it ignored.
    ///
    /// What was written before that moment may have been committed. What came after it may not have
    /// been protected by a table lock; it has been rolled back unless the body committed it.
    #[non_exhaustive]
    #[error(
        "a statement in the body ended the transaction under {lock}: remove statements that commit, \
         such as DDL, `COMMIT` and `UNLOCK TABLES`"
    )]
    TransactionEnded {
        /// The full name of the lock, or the tables.
        lock: String,
    },

    /// A transaction under a [fenced](crate::Lock::fenced) lock found that a later holder has
    /// begun: this one has lost the lock without noticing, or another node of a cluster has granted
    /// it too.
    ///
    /// Everything has been rolled back. Acquire the lock again, and start over with what the later
    /// holder has written.
    #[non_exhaustive]
    #[error(
        "a later holder of {lock} has begun, so the transaction with the fencing token {token} was \
         rolled back: acquire the lock again and start over"
    )]
    Superseded {
        /// The full name of the lock.
        lock: String,
        /// The token that is no longer the last one.
        token: u64,
    },

    /// The connection to the server is lost, and every lock with it.
    #[error("the connection to the server was lost, and every lock with it")]
    ConnectionLost(#[source] DieselError),

    /// A name that cannot be used on this server.
    #[non_exhaustive]
    #[error("invalid name {name:?}: {reason}")]
    InvalidName {
        /// The name, with the database prefix if the server has seen it.
        name: String,
        /// What is wrong with it; for a name that is too long, its length, the maximum and a
        /// remedy.
        reason: String,
    },

    /// A named lock's prefix, or a table, needs a default database and the connection has none.
    #[error(
        "the connection has no default database: name one in its URL, or use `in_database` or \
         `server_wide`"
    )]
    NoDatabase,

    /// A transaction is open where none may be: the call would have committed it, or released the
    /// lock before its end. Transactions that were begun with plain SQL are found too.
    #[non_exhaustive]
    #[error("{when}")]
    InTransaction {
        /// When the transaction was found.
        when: OpenTransaction,
    },

    /// A [`LockSet`](crate::LockSet) without names.
    #[error("a set of locks needs at least one name")]
    NoNames,

    /// A [`TableLock`](crate::TableLock) that names no table.
    #[error("a table lock needs at least one table: add one with `read` or `write`")]
    NoTables,

    /// This server, this user or this connection cannot do it.
    #[non_exhaustive]
    #[error("{what} is not supported here: {remedy}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do about it.
        remedy: String,
    },

    /// Everything else: Diesel's error, unchanged. For example an unknown table.
    #[error(transparent)]
    Diesel(DieselError),
}

/// When a transaction was found open: see [`Error::InTransaction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenTransaction {
    /// Before the lock was acquired.
    Before,
    /// Before the lock was acquired, and it is one of Diesel's test transactions.
    Test,
    /// After the body, which has left it open. Everything has been rolled back.
    LeftByBody,
}

impl fmt::Display for OpenTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => {
                "a transaction is open on this connection: commit or roll back first, and begin \
                 transactions under the lock"
            }
            Self::Test => {
                "one of Diesel's test transactions is open on this connection, and a table lock or a \
                 fenced lock would commit it: use a connection without `begin_test_transaction` for \
                 this test"
            }
            Self::LeftByBody => {
                "the body left a transaction open, so everything was rolled back: commit or roll \
                 back every transaction that it begins"
            }
        })
    }
}

fn describe_timeout(
    lock: &str,
    timeout: Duration,
    holder: Option<u64>,
    is_table_lock: bool,
) -> String {
    let message = if timeout.is_zero() {
        format!("{lock} is not free")
    } else {
        format!("timed out after {timeout:?} waiting for {lock}")
    };
    match holder {
        Some(id) => format!("{message} (held by connection {id})"),
        None if is_table_lock => {
            format!("{message} (`TableLock::blockers` lists the connections in the way)")
        }
        None => message,
    }
}

fn describe_committed(committed: Option<bool>) -> &'static str {
    match committed {
        None => "",
        Some(true) => "; the transaction under it has been committed",
        Some(false) => "; the transaction under it has not been committed",
    }
}

impl Error {
    /// Finds this library's error in another error or in one of its sources: in
    /// [`diesel::result::Error`], in an enum that has a variant for that, in a boxed error or in an
    /// `anyhow::Error`.
    ///
    /// ```
    /// use diesel_locks::Error;
    ///
    /// let error: diesel::result::Error = Error::NoTables.into();
    /// let error: Box<dyn std::error::Error> = error.into();
    /// assert!(matches!(Error::find(&*error), Some(Error::NoTables)));
    /// ```
    #[must_use]
    pub fn find<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref::<Self>() {
                return Some(found);
            }
            next = error.source();
        }
        None
    }
}

impl From<DieselError> for Error {
    /// Returns the lock's error if Diesel's was made of one.
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::QueryBuilderError(inner) => match inner.downcast::<Carried>() {
                Ok(carried) => carried.0,
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
            error => Self::QueryBuilderError(Box::new(Carried(error))),
        }
    }
}

/// The library's error inside of Diesel's, whose `source` is that of what is inside. So this shows
/// the error once more as its source, where [`Error::find`] finds it even behind a variant that is
/// `#[error(transparent)]`.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Carried(#[source] Error);

impl fmt::Debug for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
