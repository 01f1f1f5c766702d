//! Acquires a named lock.

use diesel::mysql::MysqlConnection;

use super::hold::{hold, try_hold};
use super::{HeldLock, Lock, LockGuard};
use crate::connection::{LockConnection, mysql};
use crate::error::{AcquireOwnedError, Error};
use crate::wire::{abandon_on_panic, now};

impl Lock<'_> {
    /// Acquires the lock, waiting up to the timeout. Dropping the guard releases it immediately.
    ///
    /// One round trip if the lock is free and the timeout is in whole seconds. The first use on a
    /// connection prepares the statement, which is one more. In another database than that of the
    /// last acquisition in this process it is three more, unless [`in_database`](Self::in_database)
    /// names it.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::Lock;
    /// # use std::time::Duration;
    /// # diesel::table! { invoices (id) { id -> Integer, paid -> Bool, } }
    /// # fn pay(conn: &mut MysqlConnection, n: i32) -> Result<(), diesel_locks::Error> {
    /// let mut guard = Lock::new(&format!("invoice-{n}"))
    ///     .timeout(Duration::from_millis(250))
    ///     .acquire(conn)?;
    /// diesel::update(invoices::table.find(n)).set(invoices::paid.eq(true)).execute(&mut *guard)?;
    /// guard.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`] if another connection held the lock until the timeout.
    /// - [`Error::Deadlock`]: the connection can go on, and keeps the locks it holds.
    /// - [`Error::Interrupted`] if the wait was killed.
    /// - [`Error::InvalidName`], [`Error::NoDatabase`].
    /// - [`Error::Unsupported`] if this is no MySQL connection, or a cluster's strict mode refuses
    ///   locks.
    /// - [`Error::ConnectionLost`], [`Error::Diesel`].
    ///
    /// After an error the connection does not hold the lock.
    pub fn acquire<'c, Conn>(&self, conn: &'c mut Conn) -> Result<LockGuard<&'c mut Conn>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        let held = self.hold(mysql(conn)?)?;
        Ok(LockGuard::new(conn, held))
    }

    /// Acquires the lock if it is free. Returns `None` if another connection holds it.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), except that it never returns [`Error::Timeout`].
    pub fn try_acquire<'c, Conn>(
        &self,
        conn: &'c mut Conn,
    ) -> Result<Option<LockGuard<&'c mut Conn>>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        let held = self.try_hold(mysql(conn)?)?;
        Ok(held.map(|held| LockGuard::new(conn, held)))
    }

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one,
    /// a [`MysqlConnection`], or a `Box` of any connection. Such a guard can be moved into a thread
    /// or kept in a struct, and releases the lock before the connection goes back to its pool.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::Lock;
    /// # fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let conn = MysqlConnection::establish("mysql://…")?;
    /// let mut guard = Lock::new("reindex").acquire_owned(conn)?;
    /// std::thread::spawn(move || {
    ///     diesel::sql_query("OPTIMIZE TABLE articles").execute(&mut *guard)
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), with the connection.
    pub fn acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<LockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: LockConnection,
    {
        match mysql(&mut conn).and_then(|conn| self.hold(conn)) {
            Ok(held) => Ok(LockGuard::new(conn, held)),
            Err(error) => Err(AcquireOwnedError::new(error, conn)),
        }
    }

    /// The same as [`try_acquire`](Self::try_acquire), for a guard that owns its connection. If
    /// another connection holds the lock, the connection is dropped: a pooled one goes back to its
    /// pool.
    ///
    /// # Errors
    ///
    /// The same as [`try_acquire`](Self::try_acquire), with the connection.
    pub fn try_acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<Option<LockGuard<Conn>>, AcquireOwnedError<Conn>>
    where
        Conn: LockConnection,
    {
        match mysql(&mut conn).and_then(|conn| self.try_hold(conn)) {
            Ok(held) => Ok(held.map(|held| LockGuard::new(conn, held))),
            Err(error) => Err(AcquireOwnedError::new(error, conn)),
        }
    }

    pub(crate) fn hold(&self, conn: &mut MysqlConnection) -> Result<HeldLock, Error> {
        abandon_on_panic(conn, |conn| now(hold(self, conn)))
    }

    pub(crate) fn try_hold(&self, conn: &mut MysqlConnection) -> Result<Option<HeldLock>, Error> {
        abandon_on_panic(conn, |conn| now(try_hold(self, conn)))
    }
}
