//! Who holds and waits for what.
//!
//! None of these is ever cached: they return rows, and may fail while they do. Besides, MariaDB
//! (10.11.19 and 11.8) crashes when it runs a prepared statement on the table of a plugin that was
//! unloaded since it was prepared.

mod named;
mod process;
mod tables;

use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable};

pub(crate) use self::named::{CurrentDatabase, HeldRow, HeldWithPrefix, Waiting};
pub(crate) use self::process::OneProcess;
pub(crate) use self::tables::{OnTableRow, OnTables};

/// Where a server lists what is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// `performance_schema.metadata_locks`: also who waits.
    PerformanceSchema,
    /// `information_schema.METADATA_LOCK_INFO`, of MariaDB's plugin: only what is held.
    Plugin,
}

/// How a server treats the case of lock names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameCase {
    /// MySQL, by the rules of this collation for both of its character sets.
    Lowered,
    Kept,
}

/// Returns a name as the server lists it, to be compared byte by byte.
fn push_listed<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    case: NameCase,
    push_name: impl FnOnce(AstPass<'_, 'b, Mysql>) -> QueryResult<()>,
) -> QueryResult<()> {
    let (before, after) = match case {
        NameCase::Lowered => {
            ("CAST(LOWER(CONVERT(", " USING utf8mb4) COLLATE utf8mb4_general_ci) AS BINARY)")
        }
        NameCase::Kept => ("CAST(CONVERT(", " USING utf8mb4) AS BINARY)"),
    };
    out.push_sql(before);
    push_name(out.reborrow())?;
    out.push_sql(after);
    Ok(())
}

/// A connection, as the server lists it: user, host, database, state, seconds in that state,
/// statement.
pub(crate) type ProcessRow = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<Vec<u8>>,
);

type ProcessTypes = (
    Nullable<Binary>,
    Nullable<Binary>,
    Nullable<Binary>,
    Nullable<Binary>,
    Nullable<BigInt>,
    Nullable<Binary>,
);

/// Long statements are cut, as MySQL does by itself.
const OF_PROCESS: &str = "CAST(process.USER AS BINARY), CAST(process.HOST AS BINARY), \
     CAST(process.DB AS BINARY), \
     CAST(COALESCE(NULLIF(process.STATE, ''), process.COMMAND) AS BINARY), \
     CAST(process.TIME AS SIGNED), CAST(LEFT(process.INFO, 1024) AS BINARY)";

/// The process list says more (ports; on MariaDB 10.11, prepared statements), but only of what the
/// user may see there.
const OF_THREAD: &str = "CAST(COALESCE(process.USER, threads.PROCESSLIST_USER) AS BINARY), \
     CAST(COALESCE(process.HOST, threads.PROCESSLIST_HOST) AS BINARY), \
     CAST(COALESCE(process.DB, threads.PROCESSLIST_DB) AS BINARY), \
     CAST(COALESCE(NULLIF(process.STATE, ''), NULLIF(threads.PROCESSLIST_STATE, ''), \
     threads.PROCESSLIST_COMMAND) AS BINARY), \
     CAST(COALESCE(process.TIME, threads.PROCESSLIST_TIME) AS SIGNED), \
     CAST(LEFT(COALESCE(process.INFO, threads.PROCESSLIST_INFO), 1024) AS BINARY)";

/// MySQL has deprecated its other one. Each server runs its own comment.
const PROCESSES: &str = "/*!80022 performance_schema.processlist */ \
     /*M!100000 information_schema.PROCESSLIST */ AS process";

const DEPRECATED_PROCESSES: &str = "information_schema.PROCESSLIST AS process";

/// Metadata locks and their owners.
const LOCKS: &str = "performance_schema.metadata_locks AS locks \
     JOIN performance_schema.threads AS threads ON threads.THREAD_ID = locks.OWNER_THREAD_ID";

fn push_locks_and_processes(mut out: AstPass<'_, '_, Mysql>) {
    for sql in
        [" FROM ", LOCKS, " LEFT JOIN ", PROCESSES, " ON process.ID = threads.PROCESSLIST_ID"]
    {
        out.push_sql(sql);
    }
}
