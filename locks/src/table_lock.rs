//! Table locks.

mod blockers;
mod guard;
pub(crate) mod held;

use std::fmt;
use std::ops::DerefMut;
use std::time::Duration;

use diesel::mysql::MysqlConnection;

pub use self::blockers::Blocker;
pub use self::guard::TableLockGuard;
use crate::error::{AcquireOwnedError, Error};
use crate::lockable::{Level, LockableTable, TableName, Tables};

/// Locks on whole tables, with the one transaction in which their rows are read and written.
///
/// `LOCK TABLES` keeps every other connection off: from writing where it is [`read`](Self::read),
/// from reading and writing where it is [`write`](Self::write). The connection itself can use *only*
/// these tables meanwhile, each under the alias that it was locked by. See the manuals of
/// [MySQL](https://dev.mysql.com/doc/refman/8.4/en/lock-tables.html) and
/// [MariaDB](https://mariadb.com/docs/server/reference/sql-statements/transactions/lock-tables).
///
/// A `TableLock` is the description of one: making it or dropping it does nothing.
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
/// The lock is taken with autocommit off, outside of any transaction, and ended by `COMMIT` and
/// `UNLOCK TABLES`: the order that InnoDB needs. Diesel knows that it is in a transaction
/// meanwhile, so [`conn.transaction`](diesel::Connection::transaction) makes savepoints and keeps
/// the tables locked. Statements that end a transaction by themselves are to be avoided: a `BEGIN` in
/// plain SQL would unlock the tables.
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
    /// is asked for at both levels is locked at this one.
    pub fn write<Model: LockableTable>(mut self) -> Self {
        self.tables.add_model::<Model>(Level::Write);
        self
    }

    /// Locks a model's table once more, under the alias that a self-join uses. The tables that it
    /// inherits from are not locked with it, since each would need an alias of its own.
    pub fn read_as<Model: LockableTable>(mut self, alias: &str) -> Self {
        self.tables.add_aliased::<Model>(alias, Level::Read);
        self
    }

    /// Like [`read`](Self::read), for a table without a type: `"legacy_log"`, or
    /// `("other_db", "legacy_log")`.
    pub fn read_table(mut self, table: impl Into<TableName>) -> Self {
        self.tables.add_named(&table.into(), Level::Read);
        self
    }

    /// Like [`write`](Self::write), for a table without a type.
    pub fn write_table(mut self, table: impl Into<TableName>) -> Self {
        self.tables.add_named(&table.into(), Level::Write);
        self
    }

    /// Sets how long to wait for each table at most, in whole seconds rounded up, from one second to
    /// a year: `lock_wait_timeout`, and `innodb_lock_wait_timeout` for what InnoDB locks by itself.
    /// Without it the session's own are in force: a day on MariaDB and a year on MySQL, unless the
    /// server is configured otherwise.
    ///
    /// They hold for the body too, and are put back afterwards.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Waits for the tables and locks them. Dropping the guard rolls back and unlocks.
    ///
    /// Three round trips, however many tables.
    ///
    /// # Errors
    ///
    /// [`Error::InTransaction`] inside an open transaction, one that was begun with plain SQL
    /// included; that transaction is left as it was. [`Error::NoTables`], [`Error::InvalidName`],
    /// [`Error::NoDatabase`], [`Error::Timeout`], [`Error::Deadlock`], [`Error::Interrupted`]. Else
    /// Diesel's: an unknown table, a missing privilege (`LOCK TABLES` and `SELECT` are needed). After
    /// an error nothing is locked, and the session is as it was.
    pub fn acquire<'c>(
        &self,
        conn: &'c mut MysqlConnection,
    ) -> Result<TableLockGuard<&'c mut MysqlConnection>, Error> {
        held::acquire(self, conn)?;
        Ok(TableLockGuard::new(conn))
    }

    /// Like [`acquire`](Self::acquire), for a guard that owns its connection: a pooled one, or a
    /// `Box`.
    ///
    /// # Errors
    ///
    /// As of [`acquire`](Self::acquire); the connection comes back with the error.
    pub fn acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<TableLockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: DerefMut<Target = MysqlConnection>,
    {
        match held::acquire(self, &mut conn) {
            Ok(()) => Ok(TableLockGuard::new(conn)),
            Err(error) => Err(AcquireOwnedError { error, conn }),
        }
    }

    /// Runs the body while the tables are locked: commits if it returns `Ok`, rolls back if it
    /// returns an error or panics, and unlocks in any case.
    ///
    /// # Errors
    ///
    /// Of the body, first; else as of [`acquire`](Self::acquire) and of
    /// [`TableLockGuard::release`].
    pub fn with<T, E: From<Error>>(
        &self,
        conn: &mut MysqlConnection,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.acquire(conn)?.run(body)
    }

    /// The other connections that hold or wait for metadata locks on these tables: whom this lock
    /// would wait for, and who would be before it. Not all of them are in its way: readers are not
    /// in that of a [`read`](Self::read) lock.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::{Error, TableLock};
    /// # use std::time::Duration;
    /// # fn migrate(conn: &mut MysqlConnection) -> Result<(), Error> {
    /// let lock = TableLock::new().write_table("orders").timeout(Duration::from_secs(5));
    /// let done = lock.with(conn, |conn| Ok(diesel::sql_query("…").execute(conn)?));
    /// if let Err(Error::Timeout { .. }) = done {
    ///     for blocker in lock.blockers(conn)? {
    ///         eprintln!("in the way: {blocker}");
    ///     }
    /// }
    /// # done.map(drop)
    /// # }
    /// ```
    ///
    /// It is read from `performance_schema`, on MariaDB where that is on and its instrument
    /// `wait/lock/metadata/sql/mdl` too; else from MariaDB's plugin `metadata_lock_info`, which lists
    /// those that hold a lock, and not those that wait. Of a view only the locks on the view itself are
    /// told, and locks on all of a server or a database (`FLUSH TABLES WITH READ LOCK`, backups,
    /// `DROP DATABASE`) are not.
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where the server does not tell, or not this user, and inside a table
    /// lock; it says what to do. [`Error::NoTables`], [`Error::InvalidName`],
    /// [`Error::NoDatabase`], [`Error::Interrupted`], or Diesel's. An unknown table has no blockers.
    pub fn blockers(&self, conn: &mut MysqlConnection) -> Result<Vec<Blocker>, Error> {
        blockers::blockers(self, conn)
    }
}

/// The exact statement that is sent.
impl fmt::Display for TableLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LOCK TABLES {}", self.tables)
    }
}
