//! The guard of locked tables.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::mysql::MysqlConnection;

use super::session::HeldTables;
use crate::connection::{GuardedConnection, LockConnection};
use crate::error::Error;
use crate::scope::{Ending, Held, Scope};

/// Tables that are locked, and the connection that has locked them, in a transaction.
///
/// The guard dereferences to the connection: `&mut *guard` is what Diesel's queries take. Dropping
/// it rolls back what was done under it and unlocks the tables, in a panic too.
#[must_use = "dropping the guard rolls back and unlocks: `release` it to commit"]
#[clippy::has_significant_drop]
pub struct TableLockGuard<Conn: LockConnection>(Scope<Conn, HeldTables>);

impl<Conn: LockConnection> TableLockGuard<Conn> {
    pub(super) fn new(conn: Conn, held: HeldTables) -> Self {
        Self(Scope::new(conn, held))
    }

    /// Commits, unlocks the tables, restores the session, and returns the connection.
    ///
    /// Three round trips. The name is that of `django_mysql`'s `TableLock.release`, which commits
    /// too. Diesel's instrumentation has seen the transaction begin, and sees its end only as a
    /// query.
    ///
    /// # Errors
    ///
    /// - [`Error::TransactionEnded`] if something under the lock has ended the transaction or the
    ///   table lock. What was written before that moment may be committed, and what came after was
    ///   not protected; it is rolled back.
    /// - [`Error::InTransaction`] if a transaction that was begun under the lock is still open.
    ///   Everything is rolled back.
    /// - [`Error::Deadlock`], [`Error::Interrupted`] or [`Error::Diesel`] if the commit failed.
    ///   Everything is rolled back, unless `KILL QUERY` came too late to stop the commit.
    /// - [`Error::ConnectionLost`]: if it was lost during the commit, the work may be committed.
    /// - [`Error::NotHeld`] if a connection wrapper returns another connection than before.
    ///
    /// After an error the tables are unlocked, too; a connection that the guard owned is dropped.
    pub fn release(self) -> Result<Conn, Error> {
        self.0.end(Ending::Commit)
    }

    /// Rolls back, unlocks the tables, restores the session, and returns the connection.
    ///
    /// Three round trips.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionEnded`] if something under the lock has ended the transaction: what was
    /// written before that moment may be committed. [`Error::ConnectionLost`]: nothing is
    /// committed.
    pub fn rollback(self) -> Result<Conn, Error> {
        self.0.end(Ending::RollBack)
    }
}

impl<Conn: GuardedConnection> Deref for TableLockGuard<Conn> {
    type Target = Conn::Target;

    fn deref(&self) -> &Conn::Target {
        self.0.conn().target()
    }
}

impl<Conn: GuardedConnection> DerefMut for TableLockGuard<Conn> {
    fn deref_mut(&mut self) -> &mut Conn::Target {
        self.0.conn_mut().target_mut()
    }
}

impl<Conn: LockConnection> LockConnection for TableLockGuard<Conn> {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        self.0.conn_mut().mysql_connection()
    }
}

impl<Conn: LockConnection> fmt::Debug for TableLockGuard<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableLockGuard")
            .field("tables", &self.0.held().lock())
            .finish_non_exhaustive()
    }
}
