//! A snapshot of what is held and waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::prelude::*;
use diesel_locks::{Error, Lock, LockListing, Server};
use serde::{Serialize, Serializer};

use crate::statement::{self, Row, kind};

/// Why nothing was seen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unseen {
    #[error(transparent)]
    NotConnected(#[from] ConnectionError),
    #[error("a list of held locks is not supported by this server: {0}")]
    Nowhere(String),
    #[error(transparent)]
    Failed(#[from] Error),
}

impl From<diesel::result::Error> for Unseen {
    fn from(error: diesel::result::Error) -> Self {
        Error::from(error).into()
    }
}

/// All that is shown, and what `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Snapshot {
    /// What it is and its version.
    pub(crate) server: String,
    pub(crate) warnings: Vec<String>,
    /// The prefix that was given.
    pub(crate) prefix: String,
    #[serde(rename = "named_locks")]
    pub(crate) locks: Vec<Entry>,
    #[serde(rename = "table_locks")]
    pub(crate) tables: Vec<Entry>,
    /// If this server does not list which connection waits for which lock: the remedy.
    pub(crate) remedy: Option<String>,
    /// The connections that wait for a lock that the server does not name.
    pub(crate) waiting: Vec<Client>,
    /// MySQL lists the names of locks in lower case.
    #[serde(skip)]
    pub(crate) ignores_case: bool,
}

/// A lock, or a table, with at least one holder.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) holders: Vec<Client>,
    pub(crate) waiters: Vec<Client>,
}

/// A connection, as far as this user may see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Client {
    pub(crate) id: u64,
    /// Of a lock on a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) state: Option<String>,
    #[serde(rename = "seconds_in_state", serialize_with = "seconds")]
    pub(crate) in_state: Option<Duration>,
    pub(crate) statement: Option<String>,
}

impl Snapshot {
    pub(crate) fn take(conn: &mut MysqlConnection, prefix: &str) -> Result<Self, Unseen> {
        let server = Server::inspect(conn)?;
        let (rows, remedy) = match &server.lock_listing {
            LockListing::PerformanceSchema => (statement::from_performance_schema(conn)?, None),
            LockListing::Plugin => match lists_waiters(conn)? {
                Ok(()) => (statement::from_performance_schema(conn)?, None),
                Err(remedy) => (statement::from_plugin(conn)?, Some(remedy)),
            },
            LockListing::Nowhere { remedy, .. } => return Err(Unseen::Nowhere(remedy.clone())),
            elsewhere => return Err(Unseen::Nowhere(format!("{elsewhere:?} is not known here"))),
        };
        let mut snapshot = Self {
            server: format!("{} {}", server.flavor, server.version),
            warnings: server.warnings().iter().map(ToString::to_string).collect(),
            ignores_case: server.names_differ_by_case != Some(true),
            prefix: prefix.to_owned(),
            locks: Vec::new(),
            tables: Vec::new(),
            remedy,
            waiting: Vec::new(),
        };
        snapshot.sort_in(rows);
        for lock in &mut snapshot.locks {
            lock.ask_for_holder(conn)?;
        }
        // The list is read row by row: a lock without a holder was released in between.
        snapshot.locks.retain(|lock| !lock.holders.is_empty());
        snapshot.tables.retain(|table| !table.holders.is_empty());
        Ok(snapshot)
    }

    fn sort_in(&mut self, rows: Vec<Row>) {
        let (mut locks, mut tables) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let entries = match row.kind.as_str() {
                kind::NAMED => &mut locks,
                kind::TABLE => &mut tables,
                _ => {
                    self.waiting.push(Client::of(&row));
                    continue;
                }
            };
            let name = text(row.lock_name.as_deref()).unwrap_or_default();
            let name = match text(row.lock_database.as_deref()) {
                Some(database) => format!("{database}.{name}"),
                None => name,
            };
            if !self.is_asked_for(&name) {
                continue;
            }
            let entry = entries.entry(name.clone()).or_insert_with(|| Entry {
                name,
                holders: Vec::new(),
                waiters: Vec::new(),
            });
            let side = if row.held { &mut entry.holders } else { &mut entry.waiters };
            let client = Client::of(&row);
            // A transaction may hold the same lock twice.
            if !side.contains(&client) {
                side.push(client);
            }
        }
        self.locks = in_order(locks);
        self.tables = in_order(tables);
        self.waiting.sort_by_key(|client| (std::cmp::Reverse(client.in_state), client.id));
    }

    fn is_asked_for(&self, name: &str) -> bool {
        if self.ignores_case {
            name.to_lowercase().starts_with(&self.prefix.to_lowercase())
        } else {
            name.starts_with(&self.prefix)
        }
    }
}

/// Puts locks with waiters first.
fn in_order(entries: BTreeMap<String, Entry>) -> Vec<Entry> {
    let (waited_for, others): (Vec<_>, Vec<_>) =
        entries.into_values().partition(|entry| !entry.waiters.is_empty());
    waited_for.into_iter().chain(others).collect()
}

/// Returns whether the server lists the waiters of a lock, or otherwise the remedy. Any lock will
/// do.
fn lists_waiters(conn: &mut MysqlConnection) -> Result<Result<(), String>, Error> {
    match Lock::new("locks-top").server_wide().waiters(conn) {
        Ok(_) => Ok(Ok(())),
        Err(Error::Unsupported { remedy, .. }) => Ok(Err(remedy)),
        Err(error) => Err(error),
    }
}

#[expect(clippy::ref_option, reason = "serde calls it so")]
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs()).serialize(serializer)
}

impl Entry {
    pub(crate) fn longest_wait(&self) -> Option<Duration> {
        self.waiters.iter().filter_map(|waiter| waiter.in_state).max()
    }

    /// Queries the holder by the lock's name, if the list does not name exactly one.
    fn ask_for_holder(&mut self, conn: &mut MysqlConnection) -> Result<(), Error> {
        if self.holders.len() == 1 {
            return Ok(());
        }
        let asked = match Lock::new(&self.name).server_wide().holder(conn) {
            Ok(holder) => holder,
            // Some servers cut long names in the list, and replace some characters.
            Err(Error::InvalidName { .. }) => None,
            Err(error) => return Err(error),
        };
        if let Some(holder) = asked {
            let process = holder.process;
            self.waiters.retain(|waiter| waiter.id != process.id);
            self.holders = vec![Client {
                id: process.id,
                mode: None,
                user: process.user,
                host: process.host,
                state: process.state,
                in_state: process.in_state,
                statement: process.statement,
            }];
        }
        Ok(())
    }
}

impl Client {
    fn of(row: &Row) -> Self {
        Self {
            id: row.id,
            mode: text(row.mode.as_deref()),
            user: text(row.user.as_deref()),
            host: text(row.host.as_deref()),
            state: text(row.state.as_deref()),
            // Negative if the client has set its `timestamp`.
            in_state: row
                .seconds
                .map(|seconds| Duration::from_secs(seconds.try_into().unwrap_or_default())),
            statement: text(row.statement.as_deref()),
        }
    }
}

fn text(bytes: Option<&[u8]>) -> Option<String> {
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty())
}
