//! Table locks.

use std::fmt;
use std::ops::DerefMut;
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::AsyncMysqlConnection;

use super::doomed::Doomed;
use super::guard::{TableLockGuard, run};
use crate::error::{AcquireOwnedError, Error, FromDieselError};
use crate::lockable::{LockableTable, TableName};
use crate::table_lock::blockers::{Blocker, blockers};
use crate::table_lock::session::hold;

/// Locks on whole tables, with the one transaction in which their rows are read and written: the
/// same as [`TableLock`](crate::TableLock), for an [`AsyncMysqlConnection`].
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
/// use diesel_locks::aio::TableLock;
///
/// diesel::table! { orders (id) { id -> Integer, open -> Bool, } }
///
/// async fn close_all(conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
///     TableLock::new()
///         .write::<orders::table>()
///         .with(conn, async |conn| {
///             diesel::update(orders::table).set(orders::open.eq(false)).execute(conn).await
///         })
///         .await
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a `TableLock` is only a description: nothing is locked until it is acquired"]
pub struct TableLock(crate::TableLock);

impl From<crate::TableLock> for TableLock {
    fn from(lock: crate::TableLock) -> Self {
        Self(lock)
    }
}

impl From<TableLock> for crate::TableLock {
    fn from(lock: TableLock) -> Self {
        lock.0
    }
}

impl crate::TableLock {
    /// The same description, for an [`AsyncMysqlConnection`].
    pub fn aio(self) -> TableLock {
        TableLock(self)
    }
}

impl TableLock {
    /// The same as [`TableLock::new`](crate::TableLock::new).
    pub fn new() -> Self {
        Self::default()
    }

    /// The same as [`TableLock::read`](crate::TableLock::read).
    pub fn read<Model: LockableTable>(self) -> Self {
        Self(self.0.read::<Model>())
    }

    /// The same as [`TableLock::write`](crate::TableLock::write).
    pub fn write<Model: LockableTable>(self) -> Self {
        Self(self.0.write::<Model>())
    }

    /// The same as [`TableLock::read_as`](crate::TableLock::read_as).
    pub fn read_as<Model: LockableTable>(self, alias: &str) -> Self {
        Self(self.0.read_as::<Model>(alias))
    }

    /// The same as [`TableLock::write_as`](crate::TableLock::write_as).
    pub fn write_as<Model: LockableTable>(self, alias: &str) -> Self {
        Self(self.0.write_as::<Model>(alias))
    }

    /// The same as [`TableLock::read_table`](crate::TableLock::read_table).
    pub fn read_table(self, table: impl Into<TableName>) -> Self {
        Self(self.0.read_table(table))
    }

    /// The same as [`TableLock::write_table`](crate::TableLock::write_table).
    pub fn write_table(self, table: impl Into<TableName>) -> Self {
        Self(self.0.write_table(table))
    }

    /// The same as [`TableLock::read_table_as`](crate::TableLock::read_table_as).
    pub fn read_table_as(self, table: impl Into<TableName>, alias: &str) -> Self {
        Self(self.0.read_table_as(table, alias))
    }

    /// The same as [`TableLock::write_table_as`](crate::TableLock::write_table_as).
    pub fn write_table_as(self, table: impl Into<TableName>, alias: &str) -> Self {
        Self(self.0.write_table_as(table, alias))
    }

    /// The same as [`TableLock::timeout`](crate::TableLock::timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// Locks the tables, waiting up to the timeout for each. Dropping the guard, or the future of
    /// this call, [closes the connection](crate::aio#cancellation).
    ///
    /// Two round trips, however many tables.
    ///
    /// # Errors
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain
    ///   SQL. That transaction is left as it was.
    /// - [`Error::Timeout`]: [`blockers`](Self::blockers) lists the connections in the way.
    /// - [`Error::Deadlock`], [`Error::Interrupted`].
    /// - [`Error::NoTables`], [`Error::InvalidName`], [`Error::NoDatabase`].
    /// - [`Error::Unsupported`] if the `LOCK TABLES` privilege is missing, a cluster's strict mode
    ///   refuses table locks, or a proxy refuses several statements in one request.
    /// - [`Error::ConnectionLost`], and [`Error::Diesel`]: for example an unknown table.
    ///
    /// After an error nothing is locked, and the session is as it was.
    pub async fn acquire<'c>(
        &self,
        conn: &'c mut AsyncMysqlConnection,
    ) -> Result<TableLockGuard<&'c mut AsyncMysqlConnection>, Error> {
        self.hold(conn).await.map_err(|(error, _)| error)
    }

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one,
    /// or a `Box`.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), with the connection.
    pub async fn acquire_owned<Conn>(
        &self,
        conn: Conn,
    ) -> Result<TableLockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        self.hold(conn).await.map_err(|(error, conn)| AcquireOwnedError::new(error, conn))
    }

    /// Runs the body while the tables are locked: commits if it returns `Ok`, rolls back if it
    /// returns an error, and always unlocks. If the future is dropped, or the body panics, the
    /// connection [is closed](crate::aio#cancellation).
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`TableLockGuard::release`].
    pub async fn with<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: FromDieselError,
    {
        let mut conn = Doomed::new(conn);
        match hold(&self.0, &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    /// The same as [`TableLock::blockers`](crate::TableLock#method.blockers) of a connection that
    /// blocks: the other connections that hold or wait for metadata locks on these tables.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not expose this information, if the user lacks the
    /// privilege, or while a table lock is held; the message says what to do. [`Error::NoTables`],
    /// [`Error::InvalidName`], [`Error::NoDatabase`], [`Error::Interrupted`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`]. An unknown table has no blockers.
    pub async fn blockers(&self, conn: &mut AsyncMysqlConnection) -> Result<Vec<Blocker>, Error> {
        let mut conn = Doomed::new(conn);
        let blockers = blockers(&self.0, &mut *conn).await;
        conn.spare();
        blockers
    }

    async fn hold<Conn>(&self, conn: Conn) -> Result<TableLockGuard<Conn>, (Error, Conn)>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        let mut conn = Doomed::new(conn);
        match hold(&self.0, &mut *conn).await {
            Ok(held) => Ok(TableLockGuard::new(conn, held)),
            Err(error) => Err((error, conn.spare())),
        }
    }
}

/// Writes the exact statement that is sent.
impl fmt::Display for TableLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
