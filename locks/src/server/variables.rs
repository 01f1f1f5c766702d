//! How the server's answer about itself is read.

use super::{BinlogFormat, Flavor, GroupReplication, LockListing, NameLimit, Server};
use crate::statement::inspect::{Listing, NameCase};
use crate::statement::server::{VariableRow, pseudo};

/// Bytes that a server lists, as text.
pub(crate) fn text(bytes: Option<Vec<u8>>) -> Option<String> {
    bytes.map(|bytes| match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// What a server says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Variables {
    /// A handful, in lower case, and their values; the last one counts.
    values: Vec<(String, String)>,
    plugin: bool,
    /// Tables of `performance_schema` that the user may read.
    readable: Vec<String>,
    /// The connection has locked tables, and so may read no others.
    tables_locked: bool,
    /// Whether metadata locks are instrumented, as far as the user may know.
    instrument: Option<bool>,
    consumer: Option<bool>,
    members: Vec<String>,
}

impl Variables {
    pub(super) fn read(rows: Vec<VariableRow>) -> Self {
        let mut variables = Self::default();
        for (name, value) in rows {
            let (Some(name), Some(value)) = (text(name), text(value)) else {
                continue;
            };
            match name.as_str() {
                pseudo::PLUGIN => variables.plugin = true,
                pseudo::READABLE => variables.readable.push(value.to_lowercase()),
                pseudo::INSTRUMENT => variables.instrument = Some(is_on(&value)),
                pseudo::CONSUMER => variables.consumer = Some(is_on(&value)),
                pseudo::MEMBER => variables.members.push(value),
                _ => variables.values.push((name.to_lowercase(), value)),
            }
        }
        variables
    }

    /// Sets whether the connection has locked tables.
    pub(super) fn on_connection(self, tables_locked: bool) -> Self {
        Self { tables_locked, ..self }
    }

    /// Forgets what the user seemed to be allowed to read.
    pub(super) fn without_privilege(self) -> Self {
        Self { readable: Vec::new(), ..self }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.variable("version").is_some()
    }

    fn has_performance_schema(&self) -> bool {
        self.setting("performance_schema") == Some(true)
    }

    pub(super) fn is_readable(&self) -> bool {
        ["metadata_locks", "threads", "setup_instruments", "setup_consumers"]
            .iter()
            .all(|table| self.readable.iter().any(|readable| readable == table))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let mut from_last = self.values.iter().rev();
        from_last.find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Empty where there is no such variable.
    fn value(&self, name: &str) -> &str {
        self.variable(name).unwrap_or_default()
    }

    fn setting(&self, name: &str) -> Option<bool> {
        self.variable(name).map(is_on)
    }

    /// Returns how the case of lock names is treated. An unrecognized server speaks MySQL's
    /// protocol, and is assumed to treat them as MySQL does.
    pub(crate) fn name_case(&self) -> NameCase {
        if self.flavor() == Flavor::MariaDb { NameCase::Kept } else { NameCase::Lowered }
    }

    pub(crate) fn lowers_table_names(&self) -> bool {
        self.setting("lower_case_table_names") == Some(true)
    }

    /// Where held locks are listed, the source with fewer conditions first; otherwise a remedy.
    pub(crate) fn lock_listing(&self) -> Result<Listing, String> {
        if self.plugin {
            return Ok(Listing::Plugin);
        }
        self.waiter_listing().map_err(|remedy| match self.flavor() {
            // The other place could be read without the table lock.
            Flavor::MariaDb if self.tables_locked && self.has_performance_schema() => remedy,
            Flavor::MariaDb => format!("{INSTALL}, or {remedy}"),
            _ => remedy,
        })
    }

    /// Where waiters are listed, too; otherwise a remedy.
    pub(crate) fn waiter_listing(&self) -> Result<Listing, String> {
        let remedy = if !self.has_performance_schema() {
            "start the server with `performance_schema = ON`".to_owned()
                + if self.flavor() == Flavor::MariaDb {
                    " and `performance_schema_instrument = 'wait/lock/metadata/sql/mdl=ON'`"
                } else {
                    ""
                }
        } else if self.tables_locked {
            "use another connection: this one has locked tables, and can read no others".to_owned()
        } else if !self.is_readable() {
            "grant this user `SELECT` on `performance_schema.*`".to_owned()
        } else if self.instrument == Some(false) {
            "switch on the instrument, which then lists the locks that are acquired: \
             `UPDATE performance_schema.setup_instruments SET ENABLED = 'YES' \
             WHERE NAME = 'wait/lock/metadata/sql/mdl'`"
                .to_owned()
        } else if self.consumer == Some(false) {
            "switch on instrumentation, which then lists the locks that are acquired: \
             `UPDATE performance_schema.setup_consumers SET ENABLED = 'YES' \
             WHERE NAME = 'global_instrumentation'`"
                .to_owned()
        } else {
            return Ok(Listing::PerformanceSchema);
        };
        Err(remedy)
    }

    pub(crate) fn server(&self) -> Server {
        let flavor = self.flavor();
        Server {
            flavor,
            version: self.value("version").to_owned(),
            name_limit: match flavor {
                Flavor::MySql | Flavor::Percona => Some(NameLimit::Characters(64)),
                Flavor::MariaDb => Some(NameLimit::Bytes(192)),
                Flavor::TiDb | Flavor::Vitess | Flavor::Unknown => None,
            },
            names_differ_by_case: match flavor {
                Flavor::MySql | Flavor::Percona => Some(false),
                Flavor::MariaDb => Some(true),
                Flavor::TiDb | Flavor::Vitess | Flavor::Unknown => None,
            },
            detects_deadlocks: numbers(self.value("version")).and_then(|version| match flavor {
                Flavor::MySql | Flavor::Percona => Some(version >= [5, 7, 5]),
                Flavor::MariaDb => Some(version >= [10, 0, 2]),
                Flavor::TiDb | Flavor::Vitess | Flavor::Unknown => None,
            }),
            innodb_deadlock_detect: self.setting("innodb_deadlock_detect"),
            lock_listing: match self.lock_listing() {
                Ok(Listing::PerformanceSchema) => LockListing::PerformanceSchema,
                Ok(Listing::Plugin) => LockListing::Plugin,
                Err(remedy) => LockListing::Nowhere { remedy },
            },
            innodb_table_locks: self.setting("innodb_table_locks"),
            binary_log: self.setting("log_bin") == Some(true),
            binlog_format: binlog_format(self.value("binlog_format")),
            read_only: ["read_only", "super_read_only", "innodb_read_only"]
                .iter()
                .any(|name| self.setting(name) == Some(true)),
            galera: self.setting("wsrep_on") == Some(true),
            group_replication: self.group_replication(),
        }
    }

    fn flavor(&self) -> Flavor {
        let (version, comment) = (self.value("version"), self.value("version_comment"));
        let text = format!("{version} {comment}").to_lowercase();
        if text.contains("tidb") {
            Flavor::TiDb
        } else if text.contains("vitess") || text.contains("planetscale") {
            Flavor::Vitess
        } else if OTHERS.iter().any(|name| text.contains(name)) {
            Flavor::Unknown
        } else if text.contains("mariadb") {
            Flavor::MariaDb
        } else if text.contains("percona") {
            Flavor::Percona
        } else if numbers(version).is_some() && self.setting("innodb_table_locks").is_some() {
            Flavor::MySql
        } else {
            Flavor::Unknown
        }
    }

    fn group_replication(&self) -> Option<GroupReplication> {
        let group = self.value("group_replication_group_name");
        if group.is_empty() {
            return None;
        }
        let this = self.members.iter().find_map(|member| member.strip_prefix("this "));
        let (state, role) = match this.map(|this| this.split_once(' ').unwrap_or((this, ""))) {
            Some((state, role)) => (Some(state), Some(role).filter(|role| !role.is_empty())),
            // A member without an identity is not in the group yet.
            None if !self.members.is_empty() => (Some("OFFLINE"), None),
            None => (None, None),
        };
        Some(GroupReplication {
            group: group.to_owned(),
            single_primary: self.setting("group_replication_single_primary_mode") == Some(true),
            state: state.map(str::to_owned),
            role: role.map(str::to_owned),
            members: (!self.members.is_empty()).then_some(self.members.len()),
        })
    }
}

const INSTALL: &str = "load the plugin: `INSTALL SONAME 'metadata_lock_info'`";

/// Third-party servers that speak the protocol, and report a version of MySQL.
const OTHERS: [&str; 8] =
    ["singlestore", "memsql", "oceanbase", "dolt", "starrocks", "doris", "clickhouse", "databend"];

/// `ON`, `YES`, 1; also the graded values that newer MariaDB has for `read_only`.
fn is_on(value: &str) -> bool {
    !matches!(value.to_ascii_uppercase().as_str(), "OFF" | "NO" | "0" | "")
}

fn binlog_format(value: &str) -> Option<BinlogFormat> {
    match value.to_ascii_uppercase().as_str() {
        "STATEMENT" => Some(BinlogFormat::Statement),
        "ROW" => Some(BinlogFormat::Row),
        "MIXED" => Some(BinlogFormat::Mixed),
        _ => None,
    }
}

/// Returns the numbers that a version begins with: two, or three.
fn numbers(version: &str) -> Option<[u32; 3]> {
    // MariaDB puts this there for replicas of old, and some proxies pass it on.
    let version = version.strip_prefix("5.5.5-").unwrap_or(version);
    let end = version.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(version.len());
    let mut parts = version[..end].split('.').map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next().flatten().unwrap_or(0)])
}

#[cfg(test)]
mod tests;
