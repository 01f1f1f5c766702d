//! The server: what it is, and what it can promise.

pub(crate) mod inspect;
mod variables;
mod warning;

pub(crate) use self::variables::text;
pub use self::warning::Warning;
#[cfg(feature = "mysql")]
use crate::connection::{LockConnection, mysql};
#[cfg(feature = "mysql")]
use crate::error::Error;
#[cfg(feature = "mysql")]
use crate::wire::now;

/// A server: its make, how it treats locks, and the cluster that it is part of.
///
/// The settings are the server's global ones; a session may have others.
///
/// ```no_run
/// # use diesel::prelude::*;
/// # use diesel_locks::Server;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let conn = &mut MysqlConnection::establish("mysql://…")?;
/// let server = Server::inspect(conn)?;
/// println!("{} {}", server.flavor, server.version);
/// for warning in server.warnings() {
///     eprintln!("warning: {warning}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// The make of the server.
    pub flavor: Flavor,
    /// `VERSION()`.
    pub version: String,
    /// The longest full name of a named lock, database prefix included; `None` for an unrecognized
    /// server.
    pub name_limit: Option<NameLimit>,
    /// Whether names of locks that differ only by case are two locks: true on MariaDB, false on
    /// MySQL. `None` for an unrecognized server.
    pub names_differ_by_case: Option<bool>,
    /// Whether a cycle of connections that wait for each other's named locks, or locked tables, is
    /// answered with [`Error::Deadlock`](crate::Error::Deadlock): since MySQL 5.7.5 and MariaDB
    /// 10.0.2. `None` for an unrecognized server.
    pub detects_deadlocks: Option<bool>,
    /// `innodb_deadlock_detect`: the same for locked rows. `None` if the server does not say.
    pub innodb_deadlock_detect: Option<bool>,
    /// Where this connection can read which locks are held.
    pub lock_listing: LockListing,
    /// `innodb_table_locks`. `None` if the server does not say.
    pub innodb_table_locks: Option<bool>,
    /// Whether there is a binary log.
    pub binary_log: bool,
    /// `binlog_format`, whether in use or not. `None` if the server does not say.
    pub binlog_format: Option<BinlogFormat>,
    /// Whether only administrators may write: `read_only`, as on most replicas, or one of its
    /// relatives.
    pub read_only: bool,
    /// Whether the server is a node of a Galera cluster: `wsrep_on`.
    pub galera: bool,
    /// The server's part in MySQL's Group Replication, if that is configured.
    pub group_replication: Option<GroupReplication>,
}

impl Server {
    /// Inspects the server. With autocommit off, no transaction is left open.
    ///
    /// One round trip, and one more to prepare the statement at the first use on a connection. Two
    /// if this user may not read `performance_schema`, and some more if the previous caller's
    /// privileges differ, while tables are locked, with autocommit off, or on a server that is
    /// neither MySQL nor MariaDB.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], [`Error::ConnectionLost`], [`Error::Unsupported`] or
    /// [`Error::Diesel`].
    #[cfg(feature = "mysql")]
    pub fn inspect<Conn>(conn: &mut Conn) -> Result<Self, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        now(inspect::inspect(mysql(conn)?)).map(|variables| variables.server())
    }

    /// Returns what is unsafe on this server, and what to do about it. Nothing is printed.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of(self)
    }
}

/// The make of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flavor {
    /// MySQL, or a managed service that identifies itself as MySQL.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Percona Server or Percona `XtraDB` Cluster, which treat locks as MySQL does.
    Percona,
    /// `TiDB`. Named locks cannot be acquired there: it has no `SELECT … INTO @variable`. Table
    /// locks lock nothing unless `enable-table-lock` is set: `LOCK TABLES` succeeds and is ignored.
    /// Seen in its sources, not tried.
    TiDb,
    /// Vitess, on which `PlanetScale` runs too. Named locks cannot be acquired there, and table
    /// locks lock nothing: `LOCK TABLES` succeeds and is ignored. Seen in its sources, not tried.
    Vitess,
    /// Another third-party server that speaks MySQL's protocol. The statements of this
    /// documentation may not hold there.
    Unknown,
}

impl std::fmt::Display for Flavor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::Percona => "Percona",
            Self::TiDb => "TiDB",
            Self::Vitess => "Vitess",
            Self::Unknown => "unrecognized server",
        })
    }
}

/// The maximum length of a named lock's full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameLimit {
    /// In characters.
    Characters(usize),
    /// In bytes of UTF-8.
    Bytes(usize),
}

/// Where a connection can read which locks are held.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockListing {
    /// `performance_schema.metadata_locks`, which also lists the connections that wait.
    PerformanceSchema,
    /// `information_schema.METADATA_LOCK_INFO`, which belongs to MariaDB's plugin
    /// `metadata_lock_info`.
    Plugin,
    /// Nowhere.
    #[non_exhaustive]
    Nowhere {
        /// What to do about it.
        remedy: String,
    },
}

/// What the binary log records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinlogFormat {
    /// Statements, which a replica runs without the locks under which they were run.
    Statement,
    /// Rows.
    Row,
    /// Statements if that is safe, otherwise rows.
    Mixed,
}

/// A server's part in MySQL's Group Replication.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReplication {
    /// `group_replication_group_name`.
    pub group: String,
    /// Whether only one member accepts writes.
    pub single_primary: bool,
    /// This server's `MEMBER_STATE`: `ONLINE`, `OFFLINE` and others. `None` where this user may not
    /// see it, which needs `SELECT` on `performance_schema.*`.
    pub state: Option<String>,
    /// This server's `MEMBER_ROLE`: `PRIMARY` or `SECONDARY`, or `None` as above and where it has
    /// none.
    pub role: Option<String>,
    /// How many members the group has; as above.
    pub members: Option<usize>,
}

impl GroupReplication {
    /// Returns whether the server is in the group now, as far as can be seen.
    fn may_be_member(&self) -> bool {
        self.state.as_deref() != Some("OFFLINE")
    }
}
