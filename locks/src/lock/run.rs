//! Runs a body under a named lock.

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::hold::{hold_and_begin, try_hold_and_begin};
use super::{HeldTransaction, Lock};
use crate::connection::{LockConnection, mysql};
use crate::error::{Error, FromDieselError};
use crate::scope::Scope;
use crate::wire::{abandon_on_panic, now};

impl Lock<'_> {
    /// Runs the body under the lock. The lock is released when the body returns, by an error too,
    /// or panics.
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`LockGuard::release`](super::LockGuard::release): if the
    /// lock was no longer held at the end of the body, its work was not exclusive, and
    /// [`Error::NotHeld`] is returned.
    pub fn with<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: LockConnection + ?Sized,
        E: FromDieselError,
    {
        let held = mysql(conn).and_then(|conn| self.hold(conn)).map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    /// The same as [`with`](Self::with), except that it does not wait: it returns `None` if another
    /// connection holds the lock.
    ///
    /// # Errors
    ///
    /// The same as [`with`](Self::with), except that it never returns [`Error::Timeout`].
    pub fn try_with<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<Option<T>, E>
    where
        Conn: LockConnection + ?Sized,
        E: FromDieselError,
    {
        match mysql(conn).and_then(|conn| self.try_hold(conn)).map_err(DieselError::from)? {
            Some(held) => Scope::new(conn, held).run(body).map(Some),
            None => Ok(None),
        }
    }

    /// Runs the body in a transaction under the lock: acquires the lock, begins, runs the body,
    /// commits or rolls back, and only then releases the lock, so that the next holder sees what
    /// was committed.
    ///
    /// Eight round trips without those of the body. Transactions inside the body become savepoints,
    /// as Diesel does it. In one of Diesel's test transactions the transaction itself is a
    /// savepoint. Diesel's instrumentation sees the transaction begin, and its end only as a query.
    /// Tables that were locked before with `LOCK TABLES` in plain SQL are unlocked, as by every
    /// `BEGIN`.
    ///
    /// # Errors
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain
    ///   SQL: the lock would be released before its commit. Also if the body leaves a transaction
    ///   open; everything is rolled back then.
    /// - [`Error::Superseded`] if the lock is [fenced](Self::fenced), and a later holder has begun.
    /// - [`Error::Superseded`] if the lock is [fenced](Self::fenced), and a later holder has begun.
    /// - [`Error::TransactionEnded`] if the body succeeds, but ended the transaction itself.
    /// - [`Error::NotHeld`] if the lock was lost before the end; it says whether the work was
    ///   committed.
    /// - [`Error::Unsupported`] if a proxy refuses several statements in one request.
    /// - Otherwise the same as [`with`](Self::with).
    pub fn transaction<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: LockConnection + ?Sized,
        E: FromDieselError,
    {
        let held =
            mysql(conn).and_then(|conn| self.hold_and_begin(conn)).map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    pub(crate) fn hold_and_begin(
        &self,
        conn: &mut MysqlConnection,
    ) -> Result<HeldTransaction, Error> {
        abandon_on_panic(conn, |conn| now(hold_and_begin(self, conn)))
    }

    pub(crate) fn try_hold_and_begin(
        &self,
        conn: &mut MysqlConnection,
    ) -> Result<Option<HeldTransaction>, Error> {
        abandon_on_panic(conn, |conn| now(try_hold_and_begin(self, conn)))
    }
}
