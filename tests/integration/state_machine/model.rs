//! A model of the server, for calls that follow one another.

use std::collections::BTreeMap;

use crate::support::server;

/// The holders of all locks. Connections are identified by their index.
#[derive(Default)]
pub(super) struct Model {
    /// The holder of each named lock, and how often it holds the lock.
    locks: BTreeMap<String, (usize, u64)>,
    /// The table that a connection has locked, and whether for writing.
    tables: BTreeMap<usize, (usize, bool)>,
    /// How many rows were committed.
    pub(super) rows: i64,
}

impl Model {
    /// On MySQL, names that differ only by case are equal.
    fn key(name: &str) -> String {
        if server::is_mysql() { name.to_lowercase() } else { name.to_owned() }
    }

    pub(super) fn holder(&self, name: &str) -> Option<usize> {
        self.locks.get(&Self::key(name)).map(|(holder, _)| *holder)
    }

    pub(super) fn is_free_for(&self, name: &str, conn: usize) -> bool {
        self.holder(name).is_none_or(|holder| holder == conn)
    }

    /// Returns whether the connection then holds the lock.
    pub(super) fn acquire(&mut self, name: &str, conn: usize) -> bool {
        let (holder, count) = self.locks.entry(Self::key(name)).or_insert((conn, 0));
        *count += u64::from(*holder == conn);
        *holder == conn
    }

    /// Returns whether the connection held the lock.
    pub(super) fn release(&mut self, name: &str, conn: usize) -> bool {
        let key = Self::key(name);
        let Some((holder, count)) = self.locks.get_mut(&key) else { return false };
        if *holder != conn {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            self.locks.remove(&key);
        }
        true
    }

    /// Returns how many locks the connection held.
    pub(super) fn release_all(&mut self, conn: usize) -> u64 {
        let held = self.locks.values().filter(|(holder, _)| *holder == conn);
        let count = held.map(|(_, count)| count).sum();
        self.locks.retain(|_, (holder, _)| *holder != conn);
        count
    }

    pub(super) fn has_locked_tables(&self, conn: usize) -> bool {
        self.tables.contains_key(&conn)
    }

    /// Returns whether the connection then has the table locked. Readers do not exclude each other.
    pub(super) fn lock_table(&mut self, table: usize, write: bool, conn: usize) -> bool {
        let free = self
            .tables
            .values()
            .all(|(other, other_writes)| *other != table || !(write || *other_writes));
        if free {
            self.tables.insert(conn, (table, write));
        }
        free
    }

    /// Counts the row that was written under the lock, if it was committed.
    pub(super) fn unlock_table(&mut self, conn: usize, commit: bool) {
        let locked = self.tables.remove(&conn);
        self.rows += i64::from(commit && locked.is_some_and(|(_, write)| write));
    }

    /// The server frees all that a connection held.
    pub(super) fn end(&mut self, conn: usize) {
        self.release_all(conn);
        self.unlock_table(conn, false);
    }
}
