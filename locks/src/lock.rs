//! Named locks.

#[cfg(feature = "mysql")]
mod acquire;
pub(crate) mod fence;
#[cfg(feature = "mysql")]
mod guard;
pub(crate) mod hold;
mod holder;
pub(crate) mod inspect;
#[cfg(feature = "mysql")]
mod keep_alive;
pub(crate) mod lease;
mod minimum;
pub(crate) mod release;
pub(crate) mod resolve;
#[cfg(feature = "mysql")]
mod run;
pub(crate) mod set;
mod wait;

use std::time::Duration;

use self::fence::Fencing;
#[cfg(feature = "mysql")]
pub use self::guard::LockGuard;
pub use self::holder::{Holder, Waiter};
#[cfg(feature = "mysql")]
pub use self::keep_alive::KeptLock;
pub(crate) use self::release::{HeldLock, HeldTransaction};
pub use self::set::LockSet;
use crate::timeout::Timeout;

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
/// [`server_wide`](Self::server_wide) leaves it out. With the prefix, MySQL accepts 64 characters
/// and MariaDB 192 bytes; see [`shortened`](Self::shortened). On MySQL names that differ only by
/// case are one lock, on MariaDB they are two. MySQL refuses characters outside of the Basic
/// Multilingual Plane (most emoji). A session's character sets do not matter.
///
/// The prefix is plain text: the lock `b.c` in a database `a` and the lock `c` in a database `a.b`
/// are one lock.
///
/// # `USE`
///
/// The servers run a prepared statement in the database in which it was prepared, and Diesel keeps
/// prepared statements. So after `USE other` a connection may go on with the locks of the database
/// in which it acquired its first one, just as Diesel's own queries go on with the tables of the
/// database in which they were first run. Name the database with
/// [`in_database`](Self::in_database), which is always right, or switch off that cache
/// ([`set_prepared_statement_cache_size`](diesel::Connection::set_prepared_statement_cache_size)).
/// A guard always keeps its lock.
///
/// # Re-entry
///
/// The lock is re-entrant: a connection that already holds it acquires it again immediately, and
/// must release it once per acquisition.
///
/// # Clusters
///
/// Each node of a Galera or Group Replication cluster has its own locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[must_use = "a `Lock` is only a description: nothing is locked until it is acquired"]
pub struct Lock<'n> {
    name: &'n str,
    timeout: Timeout,
    prefix: Prefix<&'n str>,
    shortened: bool,
    at_least: Duration,
    fencing: Fencing<'n>,
}

/// What goes before the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Prefix<Database> {
    CurrentDatabase,
    Database(Database),
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
            at_least: Duration::ZERO,
            fencing: Fencing::Off,
        }
    }

    /// Returns the name, without a prefix.
    #[must_use]
    pub const fn name(&self) -> &'n str {
        self.name
    }

    /// Sets the maximum time to wait. On both servers the wait is never shorter than this, and at
    /// most a few milliseconds longer.
    ///
    /// Whole seconds cost one round trip. A fraction of a second costs two: MySQL would round it to
    /// the nearest whole second, so a hint limits the wait, and a hint cannot be a parameter.
    /// MySQL's limit is in whole milliseconds, rounded up.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Waits forever, on both servers.
    pub const fn without_timeout(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Prefixes the name with this database, whatever the connection's own is: for programs that
    /// use several databases, or change them with `USE`.
    ///
    /// There is no guess that can be wrong, so it never costs an additional round trip. The
    /// database is not checked, and need not exist.
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
    /// A full name, prefix included, of more than 64 characters or 192 bytes is replaced by its
    /// first 23 characters, a `-`, and the first 40 hexadecimal digits of its SHA-256. The result
    /// is the same on both servers. Shorter names stay as they are.
    pub const fn shortened(mut self) -> Self {
        self.shortened = true;
        self
    }

    /// Holds the lock for at least this long after it was acquired, if the work under it succeeds:
    /// for a short job that many machines start at almost the same time.
    ///
    /// A job of a few milliseconds has released its lock before the last machine starts, which then
    /// runs it once more. Choose a time that is longer than the starts are apart, and shorter than
    /// the time to the next run. It is for calls that do not wait: one that waits, such as
    /// [`with`](#method.with), gets the lock afterward.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use diesel::prelude::*;
    /// use diesel_locks::Lock;
    ///
    /// const DIGEST: Lock = Lock::new("digest").hold_at_least(Duration::from_secs(10));
    ///
    /// # fn send_digest(_: &mut MysqlConnection) -> QueryResult<()> { Ok(()) }
    /// fn digest(conn: &mut MysqlConnection) -> QueryResult<bool> {
    ///     // `None` on every machine but one.
    ///     Ok(DIGEST.try_with(conn, |conn| send_digest(conn))?.is_some())
    /// }
    /// ```
    ///
    /// Closures, functions with an attribute, and the guard's `release` wait for the rest of the
    /// time before they release the lock; after a transaction was committed. A body that fails or
    /// panics releases the lock immediately, so that another machine can try, and so does dropping
    /// a guard.
    ///
    /// While it waits, the connection and the thread are occupied. It is the server that sleeps, so
    /// the session is not idle, and no `wait_timeout` ends it. `KILL QUERY` does not end the wait.
    /// If the connection is lost, so is the lock; the server notices that within five seconds.
    pub const fn hold_at_least(mut self, time: Duration) -> Self {
        self.at_least = time;
        self
    }
}
