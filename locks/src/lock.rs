//! Named locks.

mod acquire;
mod guard;
mod holder;
mod inspect;
mod release;
mod resolve;

use std::time::Duration;

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

pub use self::guard::LockGuard;
pub use self::holder::{Holder, Waiter};
pub(crate) use self::release::{HeldLock, HeldTransaction};
use crate::connection::{LockConnection, mysql};
use crate::error::{AcquireOwnedError, Error};
use crate::scope::Scope;
use crate::timeout::Timeout;
use crate::transaction::Transaction;
use crate::wire::{abandon_on_panic, now};

/// A named lock: a mutex that all clients of one database server share.
///
/// The servers call it a user-level lock, and acquire it with `GET_LOCK()`: see the manuals of
/// [MySQL](https://dev.mysql.com/doc/refman/8.4/en/locking-functions.html) and
/// [MariaDB](https://mariadb.com/docs/server/reference/sql-functions/secondary-functions/miscellaneous-functions/get_lock).
/// It belongs to a connection, not to a transaction: it outlives `COMMIT` and `ROLLBACK`, and the
/// server releases it when the connection ends, however that happens.
///
/// A `Lock` is only a description: making or dropping one does nothing. It can be a constant:
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
/// on one server do not meet by accident. [`in_database`](Self::in_database) sets the prefix, and
/// [`server_wide`](Self::server_wide) leaves it out. With the prefix, MySQL accepts 64 characters and
/// MariaDB 192 bytes; see [`shortened`](Self::shortened). On MySQL names that differ only by case are
/// one lock, on MariaDB they are two. MySQL refuses characters outside of the Basic Multilingual
/// Plane (most emoji). A session's character sets do not matter.
///
/// The prefix is plain text: the lock `b.c` in a database `a` and the lock `c` in a database `a.b`
/// are one lock.
///
/// # `USE`
///
/// The servers run a prepared statement in the database in which it was prepared, and Diesel keeps
/// prepared statements. So after `USE other` a connection may go on with the locks of the database
/// in which it acquired its first one, just as Diesel's own queries go on with the tables of the
/// database in which they were first run. Name the database with [`in_database`](Self::in_database),
/// which is always right, or switch off that cache
/// ([`set_prepared_statement_cache_size`](diesel::Connection::set_prepared_statement_cache_size)). A
/// guard always keeps its lock.
///
/// # Re-entry
///
/// The lock is re-entrant: a connection that already holds it acquires it again immediately, and must
/// release it once per acquisition.
///
/// # Clusters
///
/// Each node of a Galera or Group Replication cluster has its own locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a `Lock` is only a description: nothing is locked until it is acquired"]
pub struct Lock<'n> {
    name: &'n str,
    timeout: Timeout,
    prefix: Prefix<'n>,
    shortened: bool,
}

/// What goes before the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Prefix<'n> {
    CurrentDatabase,
    Database(&'n str),
    None,
}

impl<'n> Lock<'n> {
    /// The timeout, unless another is set: 10 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Describes the lock of this name in the connection's database, with a timeout of 10 seconds.
    pub const fn new(name: &'n str) -> Self {
        Self {
            name,
            timeout: Timeout::After(Self::DEFAULT_TIMEOUT),
            prefix: Prefix::CurrentDatabase,
            shortened: false,
        }
    }

    /// Returns the name, without a prefix.
    #[must_use]
    pub const fn name(&self) -> &'n str {
        self.name
    }

    /// Sets the maximum time to wait. On both servers the wait is never shorter than this, and at most
    /// a few milliseconds longer.
    ///
    /// Whole seconds cost one round trip. A fraction of a second costs two: MySQL would round it to
    /// the nearest whole second, so a hint limits the wait, and a hint cannot be a parameter. MySQL's
    /// limit is in whole milliseconds, rounded up.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Waits forever, on both servers.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Prefixes the name with this database, whatever the connection's own is: for programs that use
    /// several databases, or change them with `USE`.
    ///
    /// There is no guess that can be wrong, so it never costs an additional round trip. The database
    /// is not checked, and need not exist.
    ///
    /// ```
    /// use diesel_locks::Lock;
    ///
    /// let lock = Lock::new("invoice").in_database("tenant_42"); // the lock `tenant_42.invoice`
    /// # let _ = lock;
    /// ```
    pub const fn in_database(mut self, database: &'n str) -> Self {
        self.prefix = Prefix::Database(database);
        self
    }

    /// Leaves out the prefix, to share a lock with a program that does not prefix, or between
    /// databases. Needs no default database.
    pub const fn server_wide(mut self) -> Self {
        self.prefix = Prefix::None;
        self
    }

    /// Makes names of any length usable.
    ///
    /// A full name, prefix included, of more than 64 characters or 192 bytes is replaced by its first
    /// 23 characters, a `-`, and the first 40 hexadecimal digits of its SHA-256. The result is the
    /// same on both servers. Shorter names stay as they are.
    pub const fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }

    /// Acquires the lock, waiting up to the timeout. Dropping the guard releases it immediately.
    ///
    /// One round trip if the lock is free and the timeout is in whole seconds. The first use on a
    /// connection prepares the statement, which is one more. In another database than that of the last
    /// acquisition in this process it is three more, unless [`in_database`](Self::in_database) names
    /// it.
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

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one, a
    /// [`MysqlConnection`], or a `Box` of any connection. Such a guard can be moved into a thread or
    /// kept in a struct, and releases the lock before the connection goes back to its pool.
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

    /// Runs the body under the lock. The lock is released when the body returns, by an error too, or
    /// panics.
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`LockGuard::release`]: if the lock was no longer held at the
    /// end of the body, its work was not exclusive, and [`Error::NotHeld`] is returned.
    pub fn with<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: LockConnection + ?Sized,
        E: From<DieselError>,
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
        E: From<DieselError>,
    {
        match mysql(conn).and_then(|conn| self.try_hold(conn)).map_err(DieselError::from)? {
            Some(held) => Scope::new(conn, held).run(body).map(Some),
            None => Ok(None),
        }
    }

    /// Runs the body in a transaction under the lock: acquires the lock, begins, runs the body,
    /// commits or rolls back, and only then releases the lock, so that the next holder sees what was
    /// committed.
    ///
    /// Eight round trips without those of the body. Transactions inside the body become savepoints,
    /// as Diesel does it. In one of Diesel's test transactions the transaction itself is a savepoint.
    /// Diesel's instrumentation sees the transaction begin, and its end only as a query.
    ///
    /// # Errors
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain SQL:
    ///   the lock would be released before its commit. Also if the body leaves a transaction open;
    ///   everything is rolled back then.
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
        E: From<DieselError>,
    {
        let held =
            mysql(conn).and_then(|conn| self.hold_and_begin(conn)).map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    /// Acquires the lock and begins a transaction.
    pub(crate) fn hold_and_begin(
        &self,
        conn: &mut MysqlConnection,
    ) -> Result<HeldTransaction, Error> {
        Transaction::refuse_open(conn)?;
        let held = self.hold(conn)?;
        abandon_on_panic(conn, |conn| now(HeldTransaction::begin(held, conn)))
    }

    /// Does the same if the lock is free.
    pub(crate) fn try_hold_and_begin(
        &self,
        conn: &mut MysqlConnection,
    ) -> Result<Option<HeldTransaction>, Error> {
        Transaction::refuse_open(conn)?;
        let Some(held) = self.try_hold(conn)? else { return Ok(None) };
        abandon_on_panic(conn, |conn| now(HeldTransaction::begin(held, conn))).map(Some)
    }

    /// Releases a lock that was kept with [`LockGuard::leak`].
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if this connection does not hold it. [`Error::InvalidName`],
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`]. The prefix is the connection's database now.
    pub fn release<Conn>(&self, conn: &mut Conn) -> Result<(), Error>
    where
        Conn: LockConnection + ?Sized,
    {
        abandon_on_panic(mysql(conn)?, |conn| now(release::release(self, conn)))
    }
}

impl Lock<'_> {
    /// Releases every named lock of this connection, whether acquired by this library or not. Returns
    /// the number of locks, re-entries included.
    ///
    /// For connections that other code may have left locks on, such as one that was just taken from a
    /// pool: r2d2 calls no hook when it takes a connection back. Two round trips.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLost`]: the connection is closed, which releases them too.
    pub fn release_all<Conn>(conn: &mut Conn) -> Result<u64, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        abandon_on_panic(mysql(conn)?, |conn| now(release::release_all(conn)))
    }
}
