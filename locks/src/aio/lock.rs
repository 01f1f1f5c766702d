//! Named locks.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::AsyncMysqlConnection;

use super::doomed::Doomed;
use super::guard::{LockGuard, run};
use crate::error::{AcquireOwnedError, Error, FromDieselError};
use crate::lock::fence::create_fences;
use crate::lock::hold::{hold, hold_and_begin, try_hold};
use crate::lock::inspect::{held_with_prefix, holder, waiters};
use crate::lock::release::{release, release_all};
use crate::lock::resolve::resolve;
use crate::lock::{Holder, Waiter};

/// A named lock: the same as [`Lock`](crate::Lock), for an [`AsyncMysqlConnection`].
///
/// Both describe the same lock of the server, and convert into each other, so that the blocking and
/// the async half of a program can share it:
///
/// ```no_run
/// use diesel_async::AsyncMysqlConnection;
/// use diesel_locks::{Lock, aio};
///
/// static NIGHTLY: aio::Lock = aio::Lock::new("nightly-report");
///
/// # async fn build_report(_: &mut AsyncMysqlConnection) -> diesel::QueryResult<u32> { Ok(1) }
/// async fn nightly(conn: &mut AsyncMysqlConnection) -> diesel::QueryResult<u32> {
///     NIGHTLY.with(conn, build_report).await
/// }
///
/// let blocking = Lock::from(NIGHTLY); // and back: `blocking.aio()`
/// # let _ = blocking;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a `Lock` is only a description: nothing is locked until it is acquired"]
pub struct Lock<'n>(crate::Lock<'n>);

impl<'n> From<crate::Lock<'n>> for Lock<'n> {
    fn from(lock: crate::Lock<'n>) -> Self {
        Self(lock)
    }
}

impl<'n> From<Lock<'n>> for crate::Lock<'n> {
    fn from(lock: Lock<'n>) -> Self {
        lock.0
    }
}

impl<'n> crate::Lock<'n> {
    /// The same lock, for an [`AsyncMysqlConnection`].
    pub const fn aio(self) -> Lock<'n> {
        Lock(self)
    }
}

impl<'n> Lock<'n> {
    /// The timeout, unless another is set: 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = crate::Lock::DEFAULT_TIMEOUT;

    /// The same as [`Lock::new`](crate::Lock::new).
    pub const fn new(name: &'n str) -> Self {
        Self(crate::Lock::new(name))
    }

    /// Returns the name, without a prefix.
    #[must_use]
    pub const fn name(&self) -> &'n str {
        self.0.name()
    }

    /// The same as [`Lock::timeout`](crate::Lock::timeout).
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// The same as [`Lock::without_timeout`](crate::Lock::without_timeout).
    pub const fn without_timeout(self) -> Self {
        Self(self.0.without_timeout())
    }

    /// The same as [`Lock::in_database`](crate::Lock::in_database).
    pub const fn in_database(self, database: &'n str) -> Self {
        Self(self.0.in_database(database))
    }

    /// The same as [`Lock::server_wide`](crate::Lock::server_wide).
    pub const fn server_wide(self) -> Self {
        Self(self.0.server_wide())
    }

    /// The same as [`Lock::shortened`](crate::Lock::shortened).
    pub const fn shortened(self) -> Self {
        Self(self.0.shortened())
    }

    /// The same as [`Lock::hold_at_least`](crate::Lock::hold_at_least). If a future is dropped
    /// while it waits for the rest of the time, the connection [is
    /// closed](crate::aio#cancellation), and the lock may be released before that time is over.
    pub const fn hold_at_least(self, time: Duration) -> Self {
        Self(self.0.hold_at_least(time))
    }

    /// The same as [`Lock::fenced`](crate::Lock::fenced). Acquiring a fenced lock costs three more
    /// round trips.
    pub const fn fenced(self) -> Self {
        Self(self.0.fenced())
    }

    /// The same as [`Lock::fenced_in`](crate::Lock::fenced_in).
    pub const fn fenced_in(self, database: &'n str) -> Self {
        Self(self.0.fenced_in(database))
    }

    /// Creates the table of the fencing tokens in the connection's default database, unless it is
    /// there. The user needs the `CREATE` privilege.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] inside an open transaction, which `CREATE TABLE` would commit.
    /// [`Error::NoDatabase`], [`Error::Unsupported`], [`Error::ConnectionLost`], or
    /// [`Error::Diesel`] if the table cannot be created.
    pub async fn create_fences(conn: &mut AsyncMysqlConnection) -> Result<(), Error> {
        let mut conn = Doomed::new(conn);
        let created = create_fences(&mut *conn).await;
        conn.spare();
        created
    }

    /// Acquires the lock, waiting up to the timeout. Dropping the guard, or the future of this
    /// call, [closes the connection](crate::aio#cancellation).
    ///
    /// One round trip if the lock is free and the timeout is in whole seconds. The first use on a
    /// connection prepares the statement, which is one more.
    ///
    /// A wait of more than 60 seconds asks again each minute, and goes to the end of the queue
    /// then.
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`] if another connection held the lock until the timeout.
    /// - [`Error::Deadlock`]: the connection can go on, and keeps the locks it holds.
    /// - [`Error::Interrupted`] if the wait was killed.
    /// - [`Error::InvalidName`], [`Error::NoDatabase`].
    /// - [`Error::Unsupported`] if a cluster's strict mode refuses locks.
    /// - [`Error::ConnectionLost`], [`Error::Diesel`].
    ///
    /// After an error the connection does not hold the lock.
    pub async fn acquire<'c>(
        &self,
        conn: &'c mut AsyncMysqlConnection,
    ) -> Result<LockGuard<&'c mut AsyncMysqlConnection>, Error> {
        self.hold(conn).await.map_err(|(error, _)| error)
    }

    /// Acquires the lock if it is free. Returns `None` if another connection holds it.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), except that it never returns [`Error::Timeout`].
    pub async fn try_acquire<'c>(
        &self,
        conn: &'c mut AsyncMysqlConnection,
    ) -> Result<Option<LockGuard<&'c mut AsyncMysqlConnection>>, Error> {
        self.try_hold(conn).await.map_err(|(error, _)| error)
    }

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one,
    /// or a `Box`. Such a guard can be moved into a task, and is itself an `AsyncConnection`.
    ///
    /// Dropping the guard drops the connection, which costs the pool a new one: `release` it.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), with the connection.
    pub async fn acquire_owned<Conn>(
        &self,
        conn: Conn,
    ) -> Result<LockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        self.hold(conn).await.map_err(|(error, conn)| AcquireOwnedError::new(error, conn))
    }

    /// The same as [`try_acquire`](Self::try_acquire), for a guard that owns its connection. If
    /// another connection holds the lock, the connection is dropped: a pooled one goes back to its
    /// pool.
    ///
    /// # Errors
    ///
    /// The same as [`try_acquire`](Self::try_acquire), with the connection.
    pub async fn try_acquire_owned<Conn>(
        &self,
        conn: Conn,
    ) -> Result<Option<LockGuard<Conn>>, AcquireOwnedError<Conn>>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        self.try_hold(conn).await.map_err(|(error, conn)| AcquireOwnedError::new(error, conn))
    }

    /// Runs the body under the lock. The lock is released when the body returns, by an error too.
    /// If the future is dropped, or the body panics, the connection [is
    /// closed](crate::aio#cancellation).
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`LockGuard::release`]: if the lock was no longer held at the
    /// end of the body, its work was not exclusive, and [`Error::NotHeld`] is returned.
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

    /// The same as [`with`](Self::with), except that it does not wait: it returns `None` if another
    /// connection holds the lock.
    ///
    /// # Errors
    ///
    /// The same as [`with`](Self::with), except that it never returns [`Error::Timeout`].
    pub async fn try_with<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<Option<T>, E>
    where
        E: FromDieselError,
    {
        let mut conn = Doomed::new(conn);
        match try_hold(&self.0, &mut *conn).await {
            Ok(Some(held)) => run(conn, held, body).await.map(Some),
            Ok(None) => {
                conn.spare();
                Ok(None)
            }
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    /// Runs the body in a transaction under the lock: acquires the lock, begins, runs the body,
    /// commits or rolls back, and only then releases the lock, so that the next holder sees what
    /// was committed. If the future is dropped, or the body panics, the connection [is
    /// closed](crate::aio#cancellation), and nothing is committed.
    ///
    /// Five round trips without those of the body. Transactions inside the body become savepoints,
    /// as Diesel does it. In one of Diesel's test transactions the transaction itself is a
    /// savepoint.
    ///
    /// # Errors
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain
    ///   SQL: the lock would be released before its commit. Also if the body leaves a transaction
    ///   open; everything is rolled back then.
    /// - [`Error::TransactionEnded`] if the body succeeds, but ended the transaction itself.
    /// - [`Error::NotHeld`] if the lock was lost before the end; it says whether the work was
    ///   committed.
    /// - [`Error::Superseded`] if the lock is [fenced](Self::fenced), and a later holder has begun.
    /// - [`Error::Unsupported`] if a proxy refuses several statements in one request.
    /// - Otherwise the same as [`with`](Self::with).
    pub async fn transaction<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: FromDieselError,
    {
        let mut conn = Doomed::new(conn);
        match hold_and_begin(&self.0, &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    /// Releases a lock that was kept with [`LockGuard::leak`].
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if this connection does not hold it. [`Error::InvalidName`],
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`]. The prefix is the connection's database now.
    pub async fn release(&self, conn: &mut AsyncMysqlConnection) -> Result<(), Error> {
        let mut conn = Doomed::new(conn);
        let released = release(&self.0, &mut *conn).await;
        conn.spare();
        released
    }

    /// Releases every named lock of this connection, whether acquired by this library or not.
    /// Returns the number of locks, re-entries included.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLost`]: the connection is closed, which releases them too.
    pub async fn release_all(conn: &mut AsyncMysqlConnection) -> Result<u64, Error> {
        let mut conn = Doomed::new(conn);
        let released = release_all(&mut *conn).await;
        conn.spare();
        released
    }

    /// Returns whether any connection holds the lock.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for a name that [`acquire`](Self::acquire) refuses too,
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`].
    pub async fn is_held(&self, conn: &mut AsyncMysqlConnection) -> Result<bool, Error> {
        Ok(self.holding_connection_id(conn).await?.is_some())
    }

    /// Returns the ID of the connection that holds the lock: its `CONNECTION_ID()`, which is also
    /// its ID in the process list.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// The same as [`is_held`](Self::is_held).
    pub async fn holding_connection_id(
        &self,
        conn: &mut AsyncMysqlConnection,
    ) -> Result<Option<u64>, Error> {
        let mut conn = Doomed::new(conn);
        let resolved = resolve(&self.0, &mut *conn).await;
        conn.spare();
        resolved.map(|(_, holder)| holder)
    }

    /// Returns the connection that holds the lock, and what it is doing, as far as this user may
    /// see: with the `PROCESS` privilege, connections of other users, too.
    ///
    /// # Errors
    ///
    /// The same as [`is_held`](Self::is_held).
    pub async fn holder(&self, conn: &mut AsyncMysqlConnection) -> Result<Option<Holder>, Error> {
        let mut conn = Doomed::new(conn);
        let holder = holder(&self.0, &mut *conn).await;
        conn.spare();
        holder
    }

    /// Returns the connections that wait for the lock, the longest wait first.
    ///
    /// They are read from `performance_schema`, which needs the `SELECT` privilege on it. On
    /// MariaDB it must be switched on, and so must its instrument `wait/lock/metadata/sql/mdl`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not expose this information, if the user lacks the
    /// privilege, or while a table lock is held; the message says what to do. On MariaDB also for a
    /// full name of more than 64 characters, since it lists no more of a name. Otherwise the same
    /// as [`is_held`](Self::is_held).
    pub async fn waiters(&self, conn: &mut AsyncMysqlConnection) -> Result<Vec<Waiter>, Error> {
        let mut conn = Doomed::new(conn);
        let waiters = waiters(&self.0, &mut *conn).await;
        conn.spare();
        waiters
    }

    /// Returns the held locks of the connection's database whose names begin with `prefix`, each
    /// with the ID of the connection that holds it. Names are without the database. The prefix is
    /// not a pattern. An empty prefix finds all.
    ///
    /// They are read from `performance_schema.metadata_locks` on MySQL, and on MariaDB from
    /// `information_schema.METADATA_LOCK_INFO`, which belongs to the plugin `metadata_lock_info`.
    /// What each server lists, and how, is described at the blocking `Lock::held_with_prefix`.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not list the locks, or if the user lacks the
    /// privilege; the message says what to do. On MariaDB also for a prefix that it would not list.
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::ConnectionLost`] or
    /// [`Error::Diesel`].
    pub async fn held_with_prefix(
        prefix: &str,
        conn: &mut AsyncMysqlConnection,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let mut conn = Doomed::new(conn);
        let held = held_with_prefix(prefix, &mut *conn).await;
        conn.spare();
        held
    }

    async fn hold<Conn>(&self, conn: Conn) -> Result<LockGuard<Conn>, (Error, Conn)>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        let mut conn = Doomed::new(conn);
        match hold(&self.0, &mut *conn).await {
            Ok(held) => Ok(LockGuard::new(conn, held)),
            Err(error) => Err((error, conn.spare())),
        }
    }

    async fn try_hold<Conn>(&self, conn: Conn) -> Result<Option<LockGuard<Conn>>, (Error, Conn)>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        let mut conn = Doomed::new(conn);
        match try_hold(&self.0, &mut *conn).await {
            Ok(Some(held)) => Ok(Some(LockGuard::new(conn, held))),
            Ok(None) => {
                conn.spare();
                Ok(None)
            }
            Err(error) => Err((error, conn.spare())),
        }
    }
}
