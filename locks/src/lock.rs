//! Named locks.

mod ask;
mod guard;
mod held;
mod holder;
mod observed;
mod wait;

use std::ops::DerefMut;
use std::time::Duration;

use diesel::mysql::MysqlConnection;

pub use self::guard::LockGuard;
pub(crate) use self::held::HeldLock;
pub use self::holder::{Holder, Waiter};
use crate::error::{AcquireOwnedError, Error};
use crate::timeout::Timeout;
use crate::transaction;

/// A named lock: a mutex that all clients of one database server share.
///
/// The servers call it a user-level lock: `GET_LOCK()`, of
/// [MySQL](https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html) and of
/// [MariaDB](https://mariadb.com/docs/server/reference/sql-functions/secondary-functions/miscellaneous-functions/get_lock).
/// It belongs to a connection, not to a transaction: it outlives `COMMIT` and `ROLLBACK`, and the
/// server frees it when the connection ends, however that happens.
///
/// A `Lock` is the description of one: making it or dropping it does nothing. It can be a constant:
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::Lock;
///
/// static NIGHTLY: Lock = Lock::new("nightly-report");
///
/// # fn build_report(_: &mut MysqlConnection) -> QueryResult<u32> { Ok(1) }
/// fn nightly(conn: &mut MysqlConnection) -> QueryResult<u32> {
///     NIGHTLY.with(conn, |conn| build_report(conn))
/// }
/// ```
///
/// # Names
///
/// The name is prefixed with the connection's default database and a dot, so that two applications
/// on one server do not meet by accident; [`server_wide`](Self::server_wide) leaves that out. With
/// the prefix, MySQL takes 64 characters and MariaDB 192 bytes; see
/// [`shortened`](Self::shortened). On MySQL names that differ only by case are one lock, on
/// MariaDB they are two. MySQL refuses characters outside of the Basic Multilingual Plane (most
/// emoji).
///
/// # `USE`
///
/// The servers run a prepared statement in the database in which it was prepared, and Diesel keeps
/// prepared statements. So after `USE other` a connection goes on with the locks of the database in
/// which it took its first one, just as Diesel's own queries go on with the tables of the database in
/// which they were first run. Once it was asked about a lock in the other database, it may also take
/// none any more: [`Error::Interrupted`], or `None`. An application that changes databases on a
/// connection has to switch that cache off
/// ([`set_prepared_statement_cache_size`](diesel::Connection::set_prepared_statement_cache_size));
/// then its locks follow too. A guard keeps its lock in any case.
///
/// # Re-entry
///
/// A connection that holds the lock gets it again at once, and holds it until it was released as
/// often.
///
/// # Clusters
///
/// Each node of a Galera or Group Replication cluster has locks of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a `Lock` is only a description: nothing is locked until it is acquired"]
pub struct Lock<'n> {
    name: &'n str,
    timeout: Timeout,
    server_wide: bool,
    shortened: bool,
}

impl<'n> Lock<'n> {
    /// The limit of a wait, unless another is set: 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Describes the lock of this name in the connection's database, with a limit of 10 seconds.
    pub const fn new(name: &'n str) -> Self {
        Self {
            name,
            timeout: Timeout::After(Self::DEFAULT_TIMEOUT),
            server_wide: false,
            shortened: false,
        }
    }

    /// Sets how long to wait at most, on both servers: never less, and a few milliseconds more.
    ///
    /// Whole seconds cost one round trip. A fraction costs two: MySQL would round it to the nearest
    /// whole second, so that it is limited by a hint, which cannot be a parameter. MySQL's limit
    /// is in whole milliseconds, rounded up.
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Timeout::After(limit);
        self
    }

    /// Waits for ever, on both servers.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Leaves out the database, to share a lock with a program that does not prefix, or between
    /// databases. Needs no default database.
    pub const fn server_wide(mut self) -> Self {
        self.server_wide = true;
        self
    }

    /// Makes names of any length usable.
    ///
    /// A full name, database included, of more than 64 characters is replaced by its first 23
    /// characters, a `-`, and the first 40 hexadecimal digits of its SHA-256. The result is the same
    /// on both servers. Shorter names stay as they are.
    pub const fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }

    /// Waits for the lock and takes it. Dropping the guard releases it, at once.
    ///
    /// One round trip where nobody else holds the lock and the limit is in whole seconds; the first
    /// use on a connection prepares the statement, and the first use of another database than the
    /// last asks for its name.
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
    /// [`Error::Timeout`], [`Error::Deadlock`] (on MySQL and MariaDB alike the connection can go
    /// on, and keeps the locks it holds), [`Error::Interrupted`], [`Error::InvalidName`],
    /// [`Error::NoDatabase`], or Diesel's. After an error the connection does not hold the lock.
    pub fn acquire<'c>(
        &self,
        conn: &'c mut MysqlConnection,
    ) -> Result<LockGuard<&'c mut MysqlConnection>, Error> {
        let held = HeldLock::acquire(self, conn)?;
        Ok(LockGuard::new(conn, held))
    }

    /// Takes the lock if it is free; `None` if somebody else holds it.
    ///
    /// # Errors
    ///
    /// As of [`acquire`](Self::acquire), but never [`Error::Timeout`].
    pub fn try_acquire<'c>(
        &self,
        conn: &'c mut MysqlConnection,
    ) -> Result<Option<LockGuard<&'c mut MysqlConnection>>, Error> {
        let held = HeldLock::try_acquire(self, conn)?;
        Ok(held.map(|held| LockGuard::new(conn, held)))
    }

    /// Like [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one, or a
    /// `Box`. Such a guard can be moved into a thread or kept in a struct, and releases the lock
    /// before the connection goes back to its pool.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel::r2d2::{ConnectionManager, Pool};
    /// # use diesel_locks::Lock;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = Pool::new(ConnectionManager::<MysqlConnection>::new("mysql://…"))?;
    /// let mut guard = Lock::new("reindex").acquire_owned(pool.get()?)?;
    /// std::thread::spawn(move || {
    ///     diesel::sql_query("OPTIMIZE TABLE articles").execute(&mut *guard)
    /// });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As of [`acquire`](Self::acquire); the connection comes back with the error.
    pub fn acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<LockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: DerefMut<Target = MysqlConnection>,
    {
        match HeldLock::acquire(self, &mut conn) {
            Ok(held) => Ok(LockGuard::new(conn, held)),
            Err(error) => Err(AcquireOwnedError { error, conn }),
        }
    }

    /// Runs the body under the lock. The lock is released when it returns, by error too, or panics.
    ///
    /// # Errors
    ///
    /// Of the body, first; else as of [`acquire`](Self::acquire), and of
    /// [`LockGuard::release`]: when the body succeeded but the lock was no longer held at its end,
    /// its work was not exclusive, and the caller is told.
    pub fn with<T, E: From<Error>>(
        &self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.acquire(conn)?.run(body)
    }

    /// Like [`with`](Self::with), but does not wait: `None` when somebody else holds the lock.
    ///
    /// # Errors
    ///
    /// As of [`with`](Self::with), but never [`Error::Timeout`].
    pub fn try_with<T, E: From<Error>>(
        &self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        match self.try_acquire(conn)? {
            Some(guard) => guard.run(body).map(Some),
            None => Ok(None),
        }
    }

    /// Runs the body in a transaction under the lock: takes the lock, begins, runs the body, commits
    /// or rolls back, and only then releases the lock, so that whoever has it next sees what was
    /// committed.
    ///
    /// Transactions inside the body become savepoints, as Diesel does it. A body that succeeds but
    /// leaves one open is rolled back and answered with [`Error::InTransaction`].
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] inside an open transaction, also one that was begun with plain SQL:
    /// the lock would be released before its commit. Else as of [`with`](Self::with). An error of
    /// the release comes after a commit that succeeded.
    pub fn transaction<T, E: From<Error>>(
        &self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        transaction::refuse_open(conn)?;
        self.with(conn, |conn| transaction::run(conn, self.name, body))
    }

    /// Lets a lock go that was kept by [`LockGuard::leak`].
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if this connection does not hold it; [`Error::InvalidName`],
    /// [`Error::NoDatabase`], or Diesel's. The name is that of the connection's database now.
    pub fn release(&self, conn: &mut MysqlConnection) -> Result<(), Error> {
        held::release(self, conn)
    }
}

impl Lock<'_> {
    /// Releases every named lock of this connection, taken by this library or not, for code that
    /// takes a connection back into a pool. Returns how many there were, re-entries counted.
    ///
    /// # Errors
    ///
    /// Diesel's; the connection is then closed, which releases them too.
    pub fn release_all(conn: &mut MysqlConnection) -> Result<u64, Error> {
        held::release_all(conn)
    }
}
