//! What to say to the server, and how to read its answer. Knows no connection.
//!
//! These files alone hold SQL.

pub(crate) mod named;
pub(crate) mod observe;
pub(crate) mod server;
pub(crate) mod tables;

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;

/// Copies what the server says of the statement before it to where it can be read: this statement
/// cannot be prepared, and Diesel keeps no error number.
///
/// One statement, and not several in a batch: if `KILL QUERY` strikes between two of them, both
/// servers stop there without an answer, and the client waits for ever. Measured on MySQL 9.7 and
/// MariaDB 10.11.
pub(crate) const KEEP_ERROR: &str = "GET DIAGNOSTICS CONDITION 1 \
     @diesel_locks_error = MYSQL_ERRNO, @diesel_locks_state = RETURNED_SQLSTATE";

/// What to select to read it. The error comes first (MariaDB adds 1329, "no data", to every `SELECT …
/// INTO` that fails); where a warning does, the error is unknown. MySQL gives the warning of a
/// deprecated table, 1287, the state of an error.
pub(crate) const KEPT_ERROR: &str = "CAST(IF(LEFT(@diesel_locks_state, 2) IN ('01', '02') \
     OR @diesel_locks_error = 1287, NULL, @diesel_locks_error) AS UNSIGNED) LIMIT 1";

/// Does nothing, if the connection lives.
pub(crate) const NOTHING: &str = "DO 0";

/// The last resort: the server frees whatever a dead connection held.
pub(crate) const KILL_SELF: &str = "KILL CONNECTION_ID()";

/// Refused with error 1568 if any transaction is open, one that Diesel never saw included.
///
/// Without `SESSION` it is for the next transaction alone, and gives it what it would have anyway:
/// `SET TRANSACTION READ WRITE` would let a session write that may only read.
///
/// It returns no rows, so it can be cached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefuseOpen {
    old_name: bool,
}

/// Whether the last server was a `MariaDB` before 11.1 or a MySQL before 5.7.20, whose variable has
/// another name: the guess for the next one. Not both in one statement: a deprecated name is a
/// warning, which stands before the error.
static OLD_NAME: AtomicBool = AtomicBool::new(false);

impl RefuseOpen {
    pub(crate) fn guess() -> Self {
        Self { old_name: OLD_NAME.load(Ordering::Relaxed) }
    }

    /// What to try where the server does not know the variable.
    pub(crate) fn otherwise(self) -> Self {
        let old_name = !self.old_name;
        OLD_NAME.store(old_name, Ordering::Relaxed);
        Self { old_name }
    }
}

impl QueryFragment<Mysql> for RefuseOpen {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(if self.old_name {
            "SET @@tx_read_only = @@SESSION.tx_read_only"
        } else {
            "SET @@transaction_read_only = @@SESSION.transaction_read_only"
        });
        Ok(())
    }
}

impl QueryId for RefuseOpen {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> diesel::RunQueryDsl<Conn> for RefuseOpen {}

/// Not `BEGIN`, which opens a block in MariaDB's `sql_mode = 'ORACLE'`.
pub(crate) const BEGIN: &str = "START TRANSACTION";

/// Ends a transaction that Diesel's transaction manager could not end.
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// What an error number means for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Deadlock,
    InTransaction,
    Interrupted,
    /// By MySQL before 8.4 also where it is too long.
    NameRefused,
    /// A named lock of MySQL.
    LockNameTooLong,
    /// Any other name; named locks of MariaDB too.
    NameTooLong,
    NoDatabase,
    /// A limit for the statement was reached: the one in the hint, or an administrator's.
    StatementLimit,
    /// While tables are locked, no others can be used.
    TableNotLocked,
    /// A user may not, or a view's definer is unknown: MySQL also says so of a statement that is
    /// killed while it waits to look privileges up, as others change them. Measured on 9.7.
    Unchecked,
    UnknownVariable,
    /// `lock_wait_timeout` was reached.
    WaitLimit,
    Other,
}

impl Meaning {
    /// <https://dev.mysql.com/doc/mysql-errors/9.4/en/server-error-reference.html>,
    /// <https://mariadb.com/docs/server/reference/error-codes>
    pub(crate) fn of(number: u64) -> Self {
        match number {
            1046 => Self::NoDatabase,
            1059 => Self::NameTooLong,
            4163 => Self::LockNameTooLong,
            // Database, table and user lock names; bytes that are no name's characters.
            1102 | 1103 | 3057 | 1300 => Self::NameRefused,
            1100 => Self::TableNotLocked,
            1045 | 1449 => Self::Unchecked,
            1193 => Self::UnknownVariable,
            1205 => Self::WaitLimit,
            // Of MariaDB, and of tables; of MySQL's named locks.
            1213 | 3058 => Self::Deadlock,
            // The latter of MySQL, where the statement waited to look privileges up.
            1317 | 3547 => Self::Interrupted,
            1568 => Self::InTransaction,
            // `max_statement_time` of MariaDB, `max_execution_time` of MySQL.
            1969 | 3024 => Self::StatementLimit,
            _ => Self::Other,
        }
    }
}
