//! Table locks: the list of tables, and the batches that begin and end a lock.

use std::fmt;

use super::transaction::{
    Batch, CLIENT, Ending, ROLLBACK, SCOPE, Saved, ScopeId, UNLOCK, begin_batch, end_batch,
    enter_table_scope, leave_any_table_scope, leave_table_scope, put_back,
    refuse_open_and_switch_off, release_savepoint, restore_batch, save, savepoint,
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
pub(crate) fn begin(scope: ScopeId, tables: &str, wait_seconds: Option<u64>) -> String {
    let (client, client_back) = if is_read_alike(tables) {
        (String::new(), String::new())
    } else {
        let changed = format!(", {}, {} = utf8mb4", save(CLIENT), CLIENT.variable);
        (changed, format!(", {}, {} = NULL", put_back(CLIENT), CLIENT.copy))
    };
    // The second one is for locks that InnoDB holds without a metadata lock: where a transaction
    // elsewhere has checked a foreign key, or was prepared by XA.
    let wait = wait_seconds.map_or_else(String::new, |n| {
        format!(", {SAVE_WAITS}, lock_wait_timeout = {n}, innodb_lock_wait_timeout = {n}")
    });
    format!(
        "{}{client}; SET {}{wait}, {}; LOCK TABLES {tables}; {}; SET {}{client_back}",
        begin_batch(Batch::Begin(scope)),
        refuse_open_and_switch_off(),
        enter_table_scope(scope),
        savepoint(scope),
        end_batch()
    )
}

/// Commits or rolls back, unlocks, and puts the session back to what it was; `timed` if a timeout
/// was set.
///
/// `UNLOCK TABLES` commits before it unlocks, which saves a `COMMIT`. It can be relied upon,
/// because whatever unlocks the tables earlier also removes the savepoint.
pub(crate) fn end(scope: ScopeId, ending: Ending, timed: bool) -> String {
    let ending = match ending {
        Ending::Commit => String::new(),
        Ending::RollBack => format!("{ROLLBACK}; "),
    };
    let wait = if timed { format!("{PUT_WAITS_BACK}, {WAITS} = NULL, ") } else { String::new() };
    format!(
        "{}; {}; {ending}{UNLOCK}; SET {}, {wait}{}, {SCOPE} = NULL",
        begin_batch(Batch::End(scope)),
        release_savepoint(scope),
        leave_table_scope(),
        end_batch()
    )
}

/// Returns whether names are the same text in every character set that `character_set_client` may
/// be.
///
/// Elsewhere they are read in UTF-8, in which they were quoted: in some character sets the last
/// byte of a name and the quote after it are one character, and in `swe7` a back-tick is a letter.
fn is_read_alike(tables: &str) -> bool {
    let is_alike = |byte: u8| byte.is_ascii_alphanumeric() || b"_`., ".contains(&byte);
    tables.bytes().all(is_alike) && !tables.contains("``")
}

/// The timeouts, which are changed where one is set: 32 bits each.
const WAITS: &str = "@diesel_locks_waits";

const SAVE_WAITS: &str =
    "@diesel_locks_waits = (@@innodb_lock_wait_timeout << 32) + @@lock_wait_timeout";

const PUT_WAITS_BACK: &str = "lock_wait_timeout = @diesel_locks_waits & 4294967295, \
     innodb_lock_wait_timeout = @diesel_locks_waits >> 32";

/// The timeout in force for table locks.
pub(crate) const WAIT_SECONDS: &str = "@@lock_wait_timeout";

/// Puts the session back to what it was, after a batch failed; running it again changes nothing.
pub(crate) fn restore(batch: Batch) -> String {
    format!(
        "{}, {}, \
         lock_wait_timeout = CAST(COALESCE({WAITS} & 4294967295, @@lock_wait_timeout) AS SIGNED), \
         innodb_lock_wait_timeout = \
         CAST(COALESCE({WAITS} >> 32, @@innodb_lock_wait_timeout) AS SIGNED), \
         {WAITS} = NULL, {SCOPE} = NULL",
        restore_begin(batch),
        leave_any_table_scope(),
    )
}

/// Puts back what is changed during the batch that begins a lock, after it failed.
pub(crate) fn restore_begin(batch: Batch) -> String {
    let Saved { copy, variable } = CLIENT;
    format!("{}, {variable} = COALESCE({copy}, @@{variable}), {copy} = NULL", restore_batch(batch))
}
