//! What a server is, and what it can promise.

pub(crate) mod facts;
pub(crate) mod survey;
mod warning;

use diesel::mysql::MysqlConnection;

pub use self::warning::Warning;
use crate::error::Error;

/// What is known of a server: which one it is, how it treats locks, and what it is part of.
///
/// The settings are the server's global ones; a session may have others.
///
/// ```no_run
/// # use diesel::prelude::*;
/// # use diesel_locks::Server;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let conn = &mut MysqlConnection::establish("mysql://…")?;
/// let server = Server::inspect(conn)?;
/// println!("{} {}", server.flavour, server.version);
/// for warning in server.warnings() {
///     eprintln!("warning: {warning}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Server {
    /// Whose server it is.
    pub flavour: Flavour,
    /// What `VERSION()` says.
    pub version: String,
    /// The longest full name of a named lock, database prefix included; `None` of an unknown
    /// server.
    pub name_limit: Option<NameLimit>,
    /// Whether names of locks that differ only by case are two locks: so on MariaDB, not so on
    /// MySQL. `None` of an unknown server.
    pub names_differ_by_case: Option<bool>,
    /// Whether a cycle of connections that wait for each other's named locks, or locked tables, is
    /// answered with [`Error::Deadlock`](crate::Error::Deadlock): since MySQL 5.7.5 and MariaDB
    /// 10.0.2. `None` of an unknown server.
    pub detects_deadlocks: Option<bool>,
    /// `innodb_deadlock_detect`: the same for locked rows. `None` where the server does not say.
    pub innodb_deadlock_detect: Option<bool>,
    /// Where held locks can be read, by this connection.
    pub held_locks: HeldLocks,
    /// `innodb_table_locks`. `None` where the server does not say.
    pub innodb_table_locks: Option<bool>,
    /// Whether there is a binary log.
    pub binary_log: bool,
    /// `binlog_format`, in use or not. `None` where the server does not say.
    pub binlog_format: Option<BinlogFormat>,
    /// Whether only administrators may write: `read_only`, as on most replicas, or one of its
    /// relatives.
    pub read_only: bool,
    /// Whether the server is a node of a Galera cluster: `wsrep_on`.
    pub galera: bool,
    /// What the server is in MySQL's Group Replication, if it is configured.
    pub group_replication: Option<GroupReplication>,
}

impl Server {
    /// Asks the server what it is. With autocommit off, the question begins a transaction, as any query does.
    ///
    /// One round trip, and one more to prepare the statement at the first use on a connection. Two
    /// where the user's privileges are others than those of the user that asked last, and while
    /// tables are locked; two also on servers that neither MySQL nor MariaDB made.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], or Diesel's.
    pub fn inspect(conn: &mut MysqlConnection) -> Result<Self, Error> {
        survey::survey(conn).map(|facts| facts.server())
    }

    /// What is unsafe here, and what to do about it. Nothing is printed.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        warning::of(self)
    }
}

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flavour {
    /// Oracle's, or a cloud's that says to be it.
    MySql,
    /// MariaDB.
    MariaDb,
    /// Percona Server or Percona `XtraDB` Cluster, which are MySQL in what concerns locks.
    Percona,
    /// One that speaks MySQL's protocol but is none of these, or does not say what it is. What is
    /// said here of locks may not be true of it.
    Unknown,
}

impl std::fmt::Display for Flavour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::MySql => "MySQL",
            Self::MariaDb => "MariaDB",
            Self::Percona => "Percona",
            Self::Unknown => "unknown server",
        })
    }
}

/// The longest name of a named lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameLimit {
    /// So many characters.
    Characters(usize),
    /// So many bytes, of UTF-8.
    Bytes(usize),
}

/// Where held locks can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeldLocks {
    /// `performance_schema.metadata_locks`, which also knows who waits.
    PerformanceSchema,
    /// `information_schema.METADATA_LOCK_INFO`, of MariaDB's plugin `metadata_lock_info`.
    Plugin,
    /// Nowhere, by this connection.
    #[non_exhaustive]
    Nowhere {
        /// What to do about it.
        remedy: String,
    },
}

/// What the binary log takes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BinlogFormat {
    /// Statements, which a replica runs without the locks that they were run under.
    Statement,
    /// Rows.
    Row,
    /// Statements where that is safe, else rows.
    Mixed,
}

/// What a server is in MySQL's Group Replication.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupReplication {
    /// `group_replication_group_name`.
    pub group: String,
    /// Whether only one member takes writes.
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
    /// Whether the server is in the group now, as far as can be seen.
    fn may_be_member(&self) -> bool {
        self.state.as_deref() != Some("OFFLINE")
    }
}
