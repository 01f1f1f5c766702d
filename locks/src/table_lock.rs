//! Table locks.

pub(crate) mod blockers;
#[cfg(feature = "mysql")]
mod guard;
pub(crate) mod session;

use std::fmt;
use std::time::Duration;

#[cfg(feature = "mysql")]
use diesel::result::Error as DieselError;

pub use self::blockers::Blocker;
#[cfg(feature = "mysql")]
pub use self::guard::TableLockGuard;
pub(crate) use self::session::HeldTables;
#[cfg(feature = "mysql")]
use crate::connection::{LockConnection, mysql};
#[cfg(feature = "mysql")]
use crate::error::{AcquireOwnedError, Error, FromDieselError};
use crate::lockable::{Level, LockableTable, TableName, Tables};
#[cfg(feature = "mysql")]
use crate::scope::Scope;
use crate::statement::tables::{LockTables, TableList};
#[cfg(feature = "mysql")]
use crate::wire::now;

/// Locks on whole tables, with the one transaction in which their rows are read and written.
///
/// `LOCK TABLES` keeps every other connection out: a [`read`](Self::read) lock keeps them from
/// writing, a [`write`](Self::write) lock from reading and writing. While the lock is held, the
/// connection itself can use *only* these tables, each under the alias by which it was locked. See
/// the manuals of [MySQL](https://dev.mysql.com/doc/refman/8.4/en/lock-tables.html) and
/// [MariaDB](https://mariadb.com/docs/server/reference/sql-statements/transactions/lock-tables).
///
/// A `TableLock` is only a description: making or dropping one does nothing.
///
/// ```no_run
/// use diesel::prelude::*;
/// use diesel_locks::{LockableTable, TableLock};
///
/// diesel::table! { customers (id) { id -> Integer, orders -> Integer, } }
/// diesel::table! { orders (id) { id -> Integer, customer_id -> Integer, } }
///
/// #[derive(LockableTable)]
/// struct Customer;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let conn = &mut MysqlConnection::establish("mysql://…")?;
/// let lock = TableLock::new().write::<Customer>().read::<orders::table>();
/// assert_eq!(lock.to_string(), "LOCK TABLES `customers` WRITE, `orders` READ");
///
/// lock.with(conn, |conn| {
///     diesel::update(customers::table).set(customers::orders.eq(0)).execute(conn)
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Transactions
///
/// The lock is acquired with autocommit off, outside of any transaction, and ended by `UNLOCK
/// TABLES`, which commits before it unlocks: the order that InnoDB needs. While the lock is held
/// Diesel knows that a transaction is open, so
/// [`conn.transaction`](diesel::Connection::transaction) makes savepoints and keeps the tables
/// locked. Tables that the connection has locked before, with `LOCK TABLES` in plain SQL, are
/// unlocked.
///
/// Statements that end a transaction end the protection, too: DDL, `COMMIT`, `BEGIN`, `ROLLBACK`,
/// `SET autocommit = 1`, `LOCK TABLES`, `UNLOCK TABLES`, `ANALYZE TABLE` and others, even if the
/// server refuses them. A savepoint at the beginning detects that: nothing more is committed, and
/// the call fails with [`Error::TransactionEnded`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a `TableLock` is only a description: nothing is locked until it is acquired"]
pub struct TableLock {
    tables: Tables,
    timeout: Option<Duration>,
}

impl TableLock {
    /// Describes a lock on no table yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Locks a model's table, and those it inherits from, against writers.
    pub fn read<Model: LockableTable>(mut self) -> Self {
        self.tables.add_model::<Model>(Level::Read);
        self
    }

    /// Locks a model's table, and those it inherits from, against readers and writers. A table that
    /// is requested at both levels is locked at this one.
    pub fn write<Model: LockableTable>(mut self) -> Self {
        self.tables.add_model::<Model>(Level::Write);
        self
    }

    /// Locks a model's table against writers under an alias, for a self-join. The tables that it
    /// inherits from are not locked with it, since each would need its own alias.
    pub fn read_as<Model: LockableTable>(mut self, alias: &str) -> Self {
        self.tables.add_model_as::<Model>(alias, Level::Read);
        self
    }

    /// The same as [`read_as`](Self::read_as), against readers and writers: for an `UPDATE` of
    /// several tables.
    pub fn write_as<Model: LockableTable>(mut self, alias: &str) -> Self {
        self.tables.add_model_as::<Model>(alias, Level::Write);
        self
    }

    /// The same as [`read`](Self::read), for a table without a type: `"legacy_log"`, or
    /// `("other_db", "legacy_log")`.
    pub fn read_table(mut self, table: impl Into<TableName>) -> Self {
        self.tables.add_named(table.into(), None, Level::Read);
        self
    }

    /// The same as [`write`](Self::write), for a table without a type.
    pub fn write_table(mut self, table: impl Into<TableName>) -> Self {
        self.tables.add_named(table.into(), None, Level::Write);
        self
    }

    /// The same as [`read_as`](Self::read_as), for a table without a type.
    pub fn read_table_as(mut self, table: impl Into<TableName>, alias: &str) -> Self {
        self.tables.add_named(table.into(), Some(alias), Level::Read);
        self
    }

    /// The same as [`write_as`](Self::write_as), for a table without a type.
    pub fn write_table_as(mut self, table: impl Into<TableName>, alias: &str) -> Self {
        self.tables.add_named(table.into(), Some(alias), Level::Write);
        self
    }

    /// Sets the maximum time to wait for each table, in whole seconds rounded up, from one second
    /// to a year: `lock_wait_timeout`, and `innodb_lock_wait_timeout` for what InnoDB locks by
    /// itself. Without it the session's own are in force: a day on MariaDB and a year on MySQL,
    /// unless the server is configured otherwise.
    ///
    /// They also apply to the body, and are restored afterwards.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Returns the tables, as errors name them.
    fn list(&self) -> TableList<'_> {
        TableList(&self.tables)
    }
}

#[cfg(feature = "mysql")]
impl TableLock {
    /// Locks the tables, waiting up to the timeout for each. Dropping the guard rolls back and
    /// unlocks.
    ///
    /// Three round trips, however many tables.
    ///
    /// # Errors
    ///
    /// - [`Error::InTransaction`] inside an open transaction, even one that was begun with plain
    ///   SQL, and in Diesel's test transactions. That transaction is left as it was.
    /// - [`Error::Timeout`]: [`blockers`](Self::blockers) lists the connections in the way.
    /// - [`Error::Deadlock`], [`Error::Interrupted`].
    /// - [`Error::NoTables`], [`Error::InvalidName`], [`Error::NoDatabase`].
    /// - [`Error::Unsupported`] if the `LOCK TABLES` privilege is missing, a cluster's strict mode
    ///   refuses table locks, a proxy refuses several statements in one request, or this is no
    ///   MySQL connection.
    /// - [`Error::ConnectionLost`], and [`Error::Diesel`]: for example an unknown table.
    ///
    /// After an error nothing is locked, and the session is as it was.
    pub fn acquire<'c, Conn>(
        &self,
        conn: &'c mut Conn,
    ) -> Result<TableLockGuard<&'c mut Conn>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        let held = self.hold(mysql(conn)?)?;
        Ok(TableLockGuard::new(conn, held))
    }

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one,
    /// a [`MysqlConnection`](diesel::MysqlConnection), or a `Box` of any connection.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), with the connection.
    pub fn acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<TableLockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: LockConnection,
    {
        match mysql(&mut conn).and_then(|conn| self.hold(conn)) {
            Ok(held) => Ok(TableLockGuard::new(conn, held)),
            Err(error) => Err(AcquireOwnedError::new(error, conn)),
        }
    }

    /// Runs the body while the tables are locked: commits if it returns `Ok`, rolls back if it
    /// returns an error or panics, and always unlocks.
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`TableLockGuard::release`].
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

    /// Returns the other connections that hold or wait for metadata locks on these tables: those
    /// this lock would wait for, and those ahead of it in the queue. Not all of them block it:
    /// readers do not block a [`read`](Self::read) lock.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, TableLock};
    /// # use std::time::Duration;
    /// # fn migrate(conn: &mut MysqlConnection) -> Result<(), Error> {
    /// let lock = TableLock::new().write_table("orders").timeout(Duration::from_secs(5));
    /// let done = lock.with(conn, |conn| diesel::sql_query("…").execute(conn));
    /// if let Err(Some(Error::Timeout { .. })) = done.as_ref().map_err(|error| Error::find(error)) {
    ///     for blocker in lock.blockers(conn)? {
    ///         eprintln!("in the way: {blocker}");
    ///     }
    /// }
    /// # Ok(done.map(drop)?)
    /// # }
    /// ```
    ///
    /// They are read from `performance_schema`, on MariaDB if that is switched on and its
    /// instrument `wait/lock/metadata/sql/mdl` too. Otherwise they are read from MariaDB's plugin
    /// `metadata_lock_info`, which lists the connections that hold a lock, and not those that wait.
    ///
    /// The list may be partial. For a view, only locks on the view itself are listed. The tables
    /// that a view, a trigger or a foreign key pulls in are not listed. Neither are locks on a
    /// whole server or database (`FLUSH TABLES WITH READ LOCK`, backups, `DROP DATABASE`).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server does not expose this information, if the user lacks the
    /// privilege, or while a table lock is held; the message says what to do. [`Error::NoTables`],
    /// [`Error::InvalidName`], [`Error::NoDatabase`], [`Error::Interrupted`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`]. An unknown table has no blockers.
    pub fn blockers<Conn>(&self, conn: &mut Conn) -> Result<Vec<Blocker>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(blockers::blockers(self, mysql(conn)?))
    }
}

/// Writes the exact statement that is sent.
impl fmt::Display for TableLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LockTables(&self.tables).fmt(f)
    }
}
