//! What the server says of a failed statement, and what to do then: try again, or close.

use diesel::result::{Error as DieselError, QueryResult};

use crate::error::{Error, OpenTransaction};
use crate::statement::{self, Number};
use crate::wire::Wire;

/// A failed statement, and what the server says of it.
#[derive(Debug)]
pub(crate) struct ServerError {
    error: DieselError,
    pub(crate) kind: ErrorKind,
    number: Option<u64>,
}

/// Why a statement cannot use a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableFault {
    /// It, its database or one of its columns does not exist.
    Missing,
    /// The user lacks a privilege on it.
    Denied,
}

/// What an error means for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A proxy does not pass on several statements in one request.
    BatchRefused,
    /// The connection is lost, and with it whatever it held.
    ConnectionLost,
    Deadlock,
    InTransaction,
    Interrupted,
    /// By MySQL before 8.4 also if it is too long.
    NameRefused,
    /// A named lock of MySQL.
    LockNameTooLong,
    /// Any other name; named locks of MariaDB too.
    NameTooLong,
    NoDatabase,
    /// The `LOCK TABLES` privilege is missing.
    NoPrivilege,
    /// Two tables of one name or alias.
    NotUnique,
    SavepointGone,
    /// A time limit for statements was reached: the one in the hint, or an administrator's.
    StatementTimeout,
    /// A cluster's strict mode does not allow it.
    StrictMode,
    /// While tables are locked, no others can be used.
    TableNotLocked,
    /// The user lacks a privilege, or a view's definer is unknown: MySQL also says so of a
    /// statement that is killed while it waits to check privileges, which others are changing.
    /// Measured on 9.7.
    Unchecked,
    /// `lock_wait_timeout` or `innodb_lock_wait_timeout` was reached, or `NOWAIT` did not wait.
    WaitTimeout,
    Other,
    /// The connection lives, but the server could not be asked: `KILL QUERY` may have struck again.
    Undiagnosed,
    /// The connection lives, but the server does not say what happened (`max_error_count = 0`).
    Unknown,
}

impl From<u64> for ErrorKind {
    /// <https://dev.mysql.com/doc/mysql-errors/9.4/en/server-error-reference.html>,
    /// <https://mariadb.com/docs/server/reference/error-codes>
    fn from(number: u64) -> Self {
        match number {
            1044 => Self::NoPrivilege,
            1045 | 1449 => Self::Unchecked,
            1046 => Self::NoDatabase,
            1059 => Self::NameTooLong,
            1066 => Self::NotUnique,
            1100 => Self::TableNotLocked,
            // Database, table and user lock names; bytes that are no name's characters.
            1102 | 1103 | 3057 | 1300 => Self::NameRefused,
            1105 | 1235 => Self::StrictMode,
            1205 | 3572 => Self::WaitTimeout,
            // MariaDB's, and that of tables; that of MySQL's named locks.
            1213 | 3058 => Self::Deadlock,
            // MySQL's, MariaDB's: see `REFUSE_OPEN`.
            1568 | 1231 => Self::InTransaction,
            1305 => Self::SavepointGone,
            // The latter is MySQL's, if the statement waited to check privileges.
            1317 | 3547 => Self::Interrupted,
            // `max_statement_time` of MariaDB, `max_execution_time` of MySQL.
            1969 | 3024 => Self::StatementTimeout,
            4163 => Self::LockNameTooLong,
            _ => Self::Other,
        }
    }
}

impl ServerError {
    /// Asks the server what happened. To be called before any other statement.
    ///
    /// A lost connection is marked as unusable, so that a pool discards it.
    pub(crate) async fn diagnose(error: DieselError, conn: &mut impl Wire) -> Self {
        let error = match Error::from(error) {
            Error::ConnectionLost(error) => {
                return Self { error, kind: ErrorKind::ConnectionLost, number: None };
            }
            error => DieselError::from(error),
        };
        if !matches!(error, DieselError::DatabaseError(..)) {
            // Diesel's own: the server may never have heard of it.
            return Self { error, kind: ErrorKind::Other, number: None };
        }
        let number = error_number(conn).await;
        let kind = match number {
            Ok(Some(number)) => number.into(),
            Ok(None) => ErrorKind::Unknown,
            Err(_) if is_alive(conn).await => ErrorKind::Undiagnosed,
            Err(_) => {
                close(conn).await;
                ErrorKind::ConnectionLost
            }
        };
        Self { error, kind, number: number.ok().flatten() }
    }

    /// The same for a failed batch of several statements, which a proxy may have refused.
    ///
    /// MySQL Router with connection sharing does that (error 4501, measured on 9.7.4). The server,
    /// which never saw the batch, reports no error, or that of an earlier statement.
    pub(crate) async fn diagnose_batch(error: DieselError, conn: &mut impl Wire) -> Self {
        let failed = Self::diagnose(error, conn).await;
        let is_known = !matches!(failed.kind, ErrorKind::Other | ErrorKind::Unknown);
        if is_known || !refuses_batches(conn).await {
            return failed;
        }
        Self { kind: ErrorKind::BatchRefused, ..failed }
    }

    /// Returns the library's error for what has to do with this lock.
    pub(crate) fn into_error(self, lock: &str) -> Error {
        let lock = lock.to_owned();
        match self.kind {
            ErrorKind::BatchRefused => Error::Unsupported {
                what: "sending several statements in one request".to_owned(),
                remedy: format!(
                    "transactions under a lock and table locks need it, so connect to the server \
                     itself, or switch off the proxy's connection sharing ({})",
                    self.error
                ),
            },
            ErrorKind::ConnectionLost => Error::ConnectionLost(self.error),
            ErrorKind::Deadlock => Error::Deadlock { lock },
            ErrorKind::InTransaction => Error::InTransaction { when: OpenTransaction::Before },
            ErrorKind::Interrupted | ErrorKind::StatementTimeout => Error::Interrupted { lock },
            ErrorKind::NameRefused | ErrorKind::LockNameTooLong | ErrorKind::NameTooLong => {
                Error::InvalidName { name: lock, reason: self.error.to_string() }
            }
            ErrorKind::NoDatabase => Error::NoDatabase,
            ErrorKind::SavepointGone => Error::TransactionEnded { lock },
            ErrorKind::NoPrivilege
            | ErrorKind::NotUnique
            | ErrorKind::StrictMode
            | ErrorKind::TableNotLocked
            | ErrorKind::Unchecked
            | ErrorKind::Undiagnosed
            | ErrorKind::WaitTimeout
            | ErrorKind::Other
            | ErrorKind::Unknown => Error::Diesel(self.error),
        }
    }

    /// Returns what is wrong with the table that the statement uses.
    pub(crate) fn table_fault(&self) -> Option<TableFault> {
        match self.number? {
            1049 | 1054 | 1146 => Some(TableFault::Missing),
            // A database, a table, a column.
            1044 | 1142 | 1143 => Some(TableFault::Denied),
            _ => None,
        }
    }

    pub(crate) fn into_diesel(self) -> DieselError {
        self.error
    }

    /// Diesel's text for it, which the server has written.
    pub(crate) fn message(&self) -> String {
        self.error.to_string()
    }
}

/// Returns the number of the last error, unless the server keeps none. A warning's number is none:
/// MySQL gives that of a deprecated table, 1287, the state of an error.
async fn error_number(conn: &mut impl Wire) -> QueryResult<Option<u64>> {
    conn.batch(statement::KEEP_ERROR_COUNT).await?;
    conn.batch(statement::KEEP_ERROR).await?;
    number(conn, statement::KEPT_ERROR).await
}

/// Returns the value of an expression, which may be NULL.
///
/// It is the message of an error if nothing can be prepared (`max_prepared_stmt_count`).
pub(crate) async fn number(conn: &mut impl Wire, expression: &str) -> QueryResult<Option<u64>> {
    let prepared = conn.row(Number(expression)).await;
    let Err(error) = prepared else { return prepared };
    let kept = conn.batch(&statement::keep_signaled(expression)).await;
    let signaled = if kept.is_ok() { conn.batch(statement::SIGNAL).await } else { kept };
    retry_or_close(conn, statement::END_SIGNALED).await?;
    match signaled {
        Err(DieselError::DatabaseError(_, signal)) => match signal.message() {
            statement::SIGNALED_NULL => Ok(None),
            message => message.parse().map(Some).map_err(|_| error),
        },
        _ => Err(error),
    }
}

/// How often an essential statement is tried. `KILL QUERY` may strike each of them.
const TRIES: u32 = 3;

async fn is_alive(conn: &mut impl Wire) -> bool {
    for _ in 0..TRIES {
        if conn.batch(statement::NOTHING).await.is_ok() {
            return true;
        }
    }
    false
}

/// Returns whether batches of several statements do not reach the server, which answers this one
/// with an error that names a savepoint.
async fn refuses_batches(conn: &mut impl Wire) -> bool {
    for _ in 0..TRIES {
        match conn.batch(statement::ANSWERED_BATCH).await {
            Err(DieselError::DatabaseError(_, answer))
                if !answer.message().contains(statement::ANSWER) => {}
            _ => return false,
        }
    }
    true
}

/// Makes certain that the next answer belongs to the next request.
pub(crate) async fn in_step(lock: &str, conn: &mut impl Wire) -> Result<(), Error> {
    match conn.in_step().await {
        Ok(()) => Ok(()),
        Err(error) => Err(ServerError::diagnose(error, conn).await.into_error(lock)),
    }
}

/// The same, before what must not be left undone.
///
/// # Errors
///
/// [`Error::ConnectionLost`].
pub(crate) async fn in_step_or_close(conn: &mut impl Wire) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match conn.in_step().await {
            Ok(()) => return Ok(()),
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => {
                close(conn).await;
                return Err(connection_lost(error));
            }
        }
    }
}

/// Runs a statement that must not be left undone: several times, and if it cannot be run at all,
/// closes the connection, so that the server frees what it holds.
///
/// # Errors
///
/// [`Error::ConnectionLost`].
pub(crate) async fn retry_or_close(conn: &mut impl Wire, statement: &str) -> Result<(), Error> {
    let mut tries = 1;
    loop {
        match conn.batch(statement).await {
            Ok(()) => return Ok(()),
            Err(_) if tries < TRIES => tries += 1,
            Err(error) => {
                close(conn).await;
                return Err(connection_lost(error));
            }
        }
    }
}

/// Returns the error for a connection that was closed after this one.
pub(crate) fn connection_lost(error: DieselError) -> Error {
    match Error::from(error) {
        Error::Diesel(error) => Error::ConnectionLost(error),
        // It was closed before.
        error => error,
    }
}

/// Closes a connection that no longer answers, or not as it should, so that the server frees what
/// it may still hold. Marks it as unusable, which is what pools ask for.
pub(crate) async fn close(conn: &mut impl Wire) {
    for _ in 0..TRIES {
        // An error is no answer: it comes if this was done, and if it was interrupted.
        let _ = conn.batch(statement::KILL_SELF).await;
    }
    conn.mark_broken();
}
