//! Table locks: the list of tables, and the batches that begin and end a lock.

use std::fmt;

use super::transaction::{
    AUTOCOMMIT, BATCH, CLIENT, Ending, SCOPE, Saved, UNLOCK, begin_batch, enter_scope, put_back,
    put_back_if_saved, refuse_open_and_switch_off, release_savepoint, save, savepoint,
};
use crate::lockable::{Level, Tables};

/// The tables as `LOCK TABLES` takes them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableList<'t>(pub(crate) &'t Tables);

impl fmt::Display for TableList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, table) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{}", table.name)?;
            if let Some(alias) = &table.alias {
                write!(f, " AS `{}`", alias.replace('`', "``"))?;
            }
            f.write_str(match table.level {
                Level::Read => " READ",
                Level::Write => " WRITE",
            })?;
        }
        Ok(())
    }
}

/// The statement that locks them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LockTables<'t>(pub(crate) &'t Tables);

impl fmt::Display for LockTables<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LOCK TABLES {}", TableList(self.0))
    }
}

/// Begins a transaction and locks tables in the one order in which InnoDB keeps both: autocommit
/// off, no `BEGIN` (which would release the tables).
/// <https://dev.mysql.com/doc/refman/8.4/en/lock-tables.html>
pub(crate) fn begin(scope: u64, tables: &str, wait_seconds: Option<u64>) -> String {
    // The second one is for locks that InnoDB holds without a metadata lock: where a transaction
    // elsewhere has checked a foreign key, or was prepared by XA.
    let wait = wait_seconds.map_or_else(String::new, |n| {
        format!(", {}, lock_wait_timeout = {n}, innodb_lock_wait_timeout = {n}", save(&WAITS))
    });
    format!(
        // The names are read in UTF-8, in which they were quoted: in some character sets the last
        // byte of a name and the quote after it are one character.
        "{}, {}, character_set_client = utf8mb4; \
         SET {}{wait}, {}, innodb_table_locks = 1, {}; \
         LOCK TABLES {tables}; {}; SET {}",
        begin_batch(),
        save(&[CLIENT]),
        save(&SESSION),
        refuse_open_and_switch_off(),
        enter_scope(scope),
        savepoint(scope),
        put_back(&BATCH_AND_CLIENT)
    )
}

/// Commits or rolls back, unlocks, and puts the session back to what it was; `timed` if a timeout was
/// set.
pub(crate) fn end(scope: u64, ending: Ending, timed: bool) -> String {
    let wait = if timed { format!(", {}", put_back(&WAITS)) } else { String::new() };
    format!(
        "{}; {}; {}; {UNLOCK}; SET {}{wait}, {}, {SCOPE} = NULL",
        begin_batch(),
        release_savepoint(scope),
        ending.sql(),
        put_back(&SESSION),
        put_back(&BATCH)
    )
}

const BATCH_AND_CLIENT: [Saved; 3] = [BATCH[0], BATCH[1], CLIENT];

/// Variables of the session that are changed while tables are locked.
const SESSION: [Saved; 2] =
    [AUTOCOMMIT, Saved { copy: "@diesel_locks_table_locks", variable: "innodb_table_locks" }];

/// Those that are changed where a timeout is set.
const WAITS: [Saved; 2] = [
    Saved { copy: "@diesel_locks_wait", variable: "lock_wait_timeout" },
    Saved { copy: "@diesel_locks_innodb_wait", variable: "innodb_lock_wait_timeout" },
];

/// The timeout in force for table locks.
pub(crate) const WAIT_SECONDS: &str = "@@lock_wait_timeout";

/// Puts the session back to what it was, after a failure; running it again changes nothing.
pub(crate) fn restore() -> String {
    format!(
        "SET {}, {}, {}, {SCOPE} = NULL",
        put_back_if_saved(&SESSION),
        put_back_if_saved(&WAITS),
        put_back_if_saved(&BATCH_AND_CLIENT)
    )
}

/// Puts back what is changed during the batch that begins a lock, after it failed.
pub(crate) fn restore_batch() -> String {
    format!("SET {}", put_back_if_saved(&BATCH_AND_CLIENT))
}
