//! Sets of named locks.

use std::fmt;
use std::ops::DerefMut;
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_async::AsyncMysqlConnection;

use super::Lock;
use super::doomed::Doomed;
use super::guard::{LockGuard, run};
use crate::error::{AcquireOwnedError, Error};
use crate::lock::set::hold::{hold_set, hold_set_and_begin, try_hold_set};

/// Several named locks that are acquired together: the same as [`LockSet`](crate::LockSet), for an
/// [`AsyncMysqlConnection`]. Made by [`Lock::all`].
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
/// use diesel_locks::aio::Lock;
///
/// async fn transfer(conn: &mut AsyncMysqlConnection, from: i32, to: i32) -> QueryResult<usize> {
///     Lock::all([format!("account-{from}"), format!("account-{to}")])
///         .transaction(conn, async |conn| {
///             diesel::sql_query("CALL transfer()").execute(conn).await
///         })
///         .await
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[must_use = "a `LockSet` is only a description: nothing is locked until it is acquired"]
pub struct LockSet(crate::LockSet);

impl From<crate::LockSet> for LockSet {
    fn from(set: crate::LockSet) -> Self {
        Self(set)
    }
}

impl From<LockSet> for crate::LockSet {
    fn from(set: LockSet) -> Self {
        set.0
    }
}

impl crate::LockSet {
    /// The same description, for an [`AsyncMysqlConnection`].
    pub fn aio(self) -> LockSet {
        LockSet(self)
    }
}

impl Lock<'_> {
    /// The same as [`Lock::all`](crate::Lock::all).
    pub fn all<Names>(names: Names) -> LockSet
    where
        Names: IntoIterator<Item: AsRef<str>>,
    {
        LockSet(crate::Lock::all(names))
    }
}

impl LockSet {
    /// Returns the names, without a prefix, in the order in which the locks are acquired.
    #[must_use]
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.names()
    }

    /// The same as [`LockSet::timeout`](crate::LockSet::timeout).
    pub fn timeout(self, timeout: Duration) -> Self {
        Self(self.0.timeout(timeout))
    }

    /// The same as [`LockSet::without_timeout`](crate::LockSet::without_timeout).
    pub fn without_timeout(self) -> Self {
        Self(self.0.without_timeout())
    }

    /// The same as [`LockSet::in_database`](crate::LockSet::in_database).
    pub fn in_database(self, database: &str) -> Self {
        Self(self.0.in_database(database))
    }

    /// The same as [`LockSet::server_wide`](crate::LockSet::server_wide).
    pub fn server_wide(self) -> Self {
        Self(self.0.server_wide())
    }

    /// The same as [`LockSet::shortened`](crate::LockSet::shortened).
    pub fn shortened(self) -> Self {
        Self(self.0.shortened())
    }

    /// The same as [`LockSet::hold_at_least`](crate::LockSet::hold_at_least).
    pub fn hold_at_least(self, time: Duration) -> Self {
        Self(self.0.hold_at_least(time))
    }

    /// Acquires all of the locks, waiting up to the timeout for all of them together. Dropping the
    /// guard, or the future of this call, [closes the connection](crate::aio#cancellation).
    ///
    /// One round trip if all of them are free and the set has up to eight names.
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`] if another connection held one of the locks until the timeout. It names
    ///   that lock and its holder.
    /// - [`Error::Deadlock`] if this connection held another lock before, for which the holder of
    ///   one of these waits.
    /// - [`Error::NoNames`] if the set is empty.
    /// - Otherwise the same as [`Lock::acquire`].
    ///
    /// After an error the connection holds none of the locks, other than those that it held before.
    pub async fn acquire<'c>(
        &self,
        conn: &'c mut AsyncMysqlConnection,
    ) -> Result<LockGuard<&'c mut AsyncMysqlConnection>, Error> {
        self.hold(conn).await.map_err(|(error, _)| error)
    }

    /// Acquires all of the locks if all are free. Returns `None` if another connection holds one of
    /// them; none is held then.
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

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: see
    /// [`Lock::acquire_owned`].
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

    /// The same as [`try_acquire`](Self::try_acquire), for a guard that owns its connection: see
    /// [`Lock::try_acquire_owned`].
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

    /// Runs the body under the locks. They are released when the body returns, by an error too. If
    /// the future is dropped, or the body panics, the connection [is
    /// closed](crate::aio#cancellation).
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`LockGuard::release`].
    pub async fn with<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<DieselError>,
    {
        let mut conn = Doomed::new(conn);
        match hold_set(&self.0, &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    /// The same as [`with`](Self::with), except that it does not wait: it returns `None` if another
    /// connection holds one of the locks.
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
        E: From<DieselError>,
    {
        let mut conn = Doomed::new(conn);
        match try_hold_set(&self.0, &mut *conn).await {
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

    /// Runs the body in a transaction under the locks, and releases them after its commit: see
    /// [`Lock::transaction`].
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire) and [`Lock::transaction`].
    pub async fn transaction<T, E>(
        &self,
        conn: &mut AsyncMysqlConnection,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<DieselError>,
    {
        let mut conn = Doomed::new(conn);
        match hold_set_and_begin(&self.0, &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }

    async fn hold<Conn>(&self, conn: Conn) -> Result<LockGuard<Conn>, (Error, Conn)>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        let mut conn = Doomed::new(conn);
        match hold_set(&self.0, &mut *conn).await {
            Ok(held) => Ok(LockGuard::new(conn, held)),
            Err(error) => Err((error, conn.spare())),
        }
    }

    async fn try_hold<Conn>(&self, conn: Conn) -> Result<Option<LockGuard<Conn>>, (Error, Conn)>
    where
        Conn: DerefMut<Target = AsyncMysqlConnection>,
    {
        let mut conn = Doomed::new(conn);
        match try_hold_set(&self.0, &mut *conn).await {
            Ok(Some(held)) => Ok(Some(LockGuard::new(conn, held))),
            Ok(None) => {
                conn.spare();
                Ok(None)
            }
            Err(error) => Err((error, conn.spare())),
        }
    }
}

/// The names: `account-1, account-2`.
impl fmt::Display for LockSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
