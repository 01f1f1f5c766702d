//! What is unsafe on a server, in plain words.

use std::fmt;

use super::{BinlogFormat, Flavor, GroupReplication, Server};

/// Something that is unsafe on a server. Its text says what, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warning {
    /// Nobody knows how this server treats locks.
    UnknownServer,
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
                "this is neither MySQL nor MariaDB nor Percona, and whether its GET_LOCK and its \
                 LOCK TABLES keep anybody off is not known: try it with two connections before \
                 relying on them"
            }
            Self::OneLockPerConnection => {
                "this server is so old that taking a named lock silently releases the one that the \
                 connection held before: hold one at a time, or use MySQL 5.7.5 or MariaDB 10.0.2 \
                 or later"
            }
            Self::StatementReplication => {
                "binlog_format is STATEMENT: replicas run the statements without the locks that \
                 they were run under, and statements that call lock functions are unsafe: set \
                 binlog_format to ROW (or MIXED)"
            }
            Self::Galera => {
                "this is a node of a Galera cluster, and named locks and table locks are known to \
                 this node only: the same lock can be held on each of the others at the same time: \
                 send every connection that locks to one node, and every writer to locked tables \
                 as well"
            }
            Self::GroupReplication => {
                "this server is a member of Group Replication, and named locks and table locks \
                 are known to this member only: the same lock can be held on each of the others at \
                 the same time: send every connection that locks to one member, the primary, and \
                 agree on the lock again after a failover"
            }
            Self::ReadOnly => {
                "this server is read-only, most likely a replica: locks taken here are not known \
                 to the server that takes the writes, and tables cannot be locked for WRITE by \
                 ordinary users: lock there instead"
            }
            Self::NoInnodbTableLocks => {
                "innodb_table_locks is off: LOCK TABLES of other programs does not wait for rows \
                 that InnoDB has locked (table locks of this library do, since they set it for their \
                 session): set innodb_table_locks to ON"
            }
            Self::NoDeadlockDetection => {
                "innodb_deadlock_detect is off: transactions that wait for each other's rows wait \
                 until innodb_lock_wait_timeout, and hold their named locks that long: set it to \
                 ON, or set a short innodb_lock_wait_timeout"
            }
        })
    }
}

pub(super) fn of(server: &Server) -> Vec<Warning> {
    let member = server.group_replication.as_ref().is_some_and(GroupReplication::may_be_member);
    let by_statement = server.binary_log && server.binlog_format == Some(BinlogFormat::Statement);
    [
        (server.flavor == Flavor::Unknown, Warning::UnknownServer),
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
