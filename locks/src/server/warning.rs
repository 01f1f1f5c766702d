//! What is unsafe on a server, and what to do about it.

use std::fmt;

use super::{BinlogFormat, Flavor, GroupReplication, Server};

/// Something that is unsafe on a server. Its text says what, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// An unrecognized server, which may treat locks differently.
    UnknownServer,
    /// `TiDB`, where named locks cannot be acquired, and table locks lock nothing by default.
    TiDb,
    /// Vitess, where named locks cannot be acquired and table locks lock nothing.
    Vitess,
    /// A server so old that a connection holds one named lock at most.
    OneLockPerConnection,
    /// Statement-based replication.
    StatementReplication,
    /// A node of a Galera cluster.
    Galera,
    /// A member of Group Replication.
    GroupReplication,
    /// `read_only`.
    ReadOnly,
    /// `innodb_table_locks` is off.
    NoInnodbTableLocks,
    /// `innodb_deadlock_detect` is off.
    NoDeadlockDetection,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownServer => {
                "this server is not MySQL, MariaDB or Percona, and it is not known whether its \
                 GET_LOCK and LOCK TABLES keep other connections out. Try them with two connections \
                 before you rely on them"
            }
            Self::TiDb => {
                "this server is TiDB, where LOCK TABLES succeeds but locks nothing unless \
                 enable-table-lock is set, and named locks cannot be acquired. Use row locks there"
            }
            Self::Vitess => {
                "this server is Vitess, where LOCK TABLES succeeds but locks nothing, and named locks \
                 cannot be acquired. Use row locks there"
            }
            Self::OneLockPerConnection => {
                "this server is so old that acquiring a named lock silently releases the one that the \
                 connection held before. Hold one at a time, or use MySQL 5.7.5 or MariaDB 10.0.2 or \
                 later"
            }
            Self::StatementReplication => {
                "binlog_format is STATEMENT, so replicas run statements without the locks under which \
                 they were run, and statements that call lock functions are unsafe. Set binlog_format \
                 to ROW or MIXED"
            }
            Self::Galera => {
                "this server is a Galera node, and locks are local to each node, so the same lock can \
                 be held on several nodes at once. Send every connection that locks, and every writer \
                 to locked tables, to one node"
            }
            Self::GroupReplication => {
                "this server is a member of Group Replication, and locks are local to each member, so \
                 the same lock can be held on several members at once. Send every connection that \
                 locks to one member, the primary, and expect locks to be lost in a failover"
            }
            Self::ReadOnly => {
                "this server is read-only, most likely a replica. Locks acquired here are not known to \
                 the server that accepts writes, and ordinary users cannot lock tables for writing. \
                 Acquire them there instead"
            }
            Self::NoInnodbTableLocks => {
                "innodb_table_locks is off, so LOCK TABLES in other programs does not wait for rows \
                 that InnoDB has locked (table locks of this library do: they set it for their \
                 session). Set innodb_table_locks to ON"
            }
            Self::NoDeadlockDetection => {
                "innodb_deadlock_detect is off, so transactions that wait for each other's rows wait \
                 until innodb_lock_wait_timeout, and hold their named locks that long. Set it to ON, \
                 or set a short innodb_lock_wait_timeout"
            }
        })
    }
}

pub(super) fn of(server: &Server) -> Vec<Warning> {
    let member = server.group_replication.as_ref().is_some_and(GroupReplication::may_be_member);
    let by_statement = server.binary_log && server.binlog_format == Some(BinlogFormat::Statement);
    [
        (server.flavor == Flavor::Unknown, Warning::UnknownServer),
        (server.flavor == Flavor::TiDb, Warning::TiDb),
        (server.flavor == Flavor::Vitess, Warning::Vitess),
        (server.detects_deadlocks == Some(false), Warning::OneLockPerConnection),
        (by_statement, Warning::StatementReplication),
        (server.galera, Warning::Galera),
        (member, Warning::GroupReplication),
        (server.read_only, Warning::ReadOnly),
        (server.innodb_table_locks == Some(false), Warning::NoInnodbTableLocks),
        (server.innodb_deadlock_detect == Some(false), Warning::NoDeadlockDetection),
    ]
    .into_iter()
    .filter_map(|(unsafe_here, warning)| unsafe_here.then_some(warning))
    .collect()
}
