//! The one statement of this program: all that is held on a server, or waited for.
//!
//! The library lists the locks of one database, and the holder and waiters of one lock at a time: a
//! whole server would cost a query for each.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Unsigned};

/// A lock and a connection that holds it or waits for it. Text comes as bytes, since names need not
/// be text; what the user may not see is missing.
#[derive(Debug, QueryableByName)]
pub(crate) struct Row {
    #[diesel(sql_type = Text)]
    pub(crate) kind: String,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) lock_database: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) lock_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) mode: Option<Vec<u8>>,
    #[diesel(sql_type = Bool)]
    pub(crate) held: bool,
    #[diesel(sql_type = Unsigned<BigInt>)]
    pub(crate) id: u64,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) user: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) host: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) state: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) seconds: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    pub(crate) statement: Option<Vec<u8>>,
}

/// The values of `Row::kind`; any other is a connection that waits for a lock that is not listed.
pub(crate) mod kind {
    pub(crate) const NAMED: &str = "named";
    pub(crate) const TABLE: &str = "table";
}

/// A server's `sql_select_limit` may be smaller than the answer.
macro_rules! all_rows {
    () => {
        " LIMIT 18446744073709551615"
    };
}

/// Each server executes its own comment: MySQL has deprecated its other process list. That list has
/// more than `threads` (ports; on MariaDB 10.11 prepared statements), but only what the user may
/// see.
///
/// For a table, the locks that keep others off it are listed, and all of them if a connection
/// waits.
const PERFORMANCE_SCHEMA: &str = concat!(
    "SELECT IF(locks.OBJECT_TYPE = 'TABLE', 'table', 'named') AS kind, \
     CAST(locks.OBJECT_SCHEMA AS BINARY) AS lock_database, \
     CAST(locks.OBJECT_NAME AS BINARY) AS lock_name, CAST(locks.LOCK_TYPE AS BINARY) AS mode, \
     locks.LOCK_STATUS = 'GRANTED' AS held, CAST(threads.PROCESSLIST_ID AS UNSIGNED) AS id, \
     CAST(COALESCE(process.USER, threads.PROCESSLIST_USER) AS BINARY) AS user, \
     CAST(COALESCE(process.HOST, threads.PROCESSLIST_HOST) AS BINARY) AS host, \
     CAST(COALESCE(NULLIF(process.STATE, ''), NULLIF(threads.PROCESSLIST_STATE, ''), \
     threads.PROCESSLIST_COMMAND) AS BINARY) AS state, \
     CAST(COALESCE(process.TIME, threads.PROCESSLIST_TIME) AS SIGNED) AS seconds, \
     CAST(LEFT(COALESCE(process.INFO, threads.PROCESSLIST_INFO), 1024) AS BINARY) AS statement \
     FROM performance_schema.metadata_locks AS locks \
     JOIN performance_schema.threads AS threads ON threads.THREAD_ID = locks.OWNER_THREAD_ID \
     LEFT JOIN /*!80022 performance_schema.processlist */ \
     /*M!100000 information_schema.PROCESSLIST */ AS process ON process.ID = threads.PROCESSLIST_ID \
     WHERE locks.LOCK_STATUS IN ('GRANTED', 'PENDING') \
     AND threads.PROCESSLIST_ID NOT IN (0, CONNECTION_ID()) \
     AND (locks.OBJECT_TYPE = 'USER LEVEL LOCK' OR locks.OBJECT_TYPE = 'TABLE' AND (\
     locks.LOCK_TYPE IN ('SHARED_READ_ONLY', 'SHARED_NO_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE') \
     OR (locks.OBJECT_SCHEMA, locks.OBJECT_NAME) IN (\
     SELECT OBJECT_SCHEMA, OBJECT_NAME FROM performance_schema.metadata_locks \
     WHERE OBJECT_TYPE = 'TABLE' AND LOCK_STATUS = 'PENDING')))",
    all_rows!()
);

/// Its own columns first, then the client's.
macro_rules! of_process {
    ($own:literal) => {
        concat!(
            "SELECT ",
            $own,
            ", CAST(process.USER AS BINARY) AS user, CAST(process.HOST AS BINARY) AS host, \
             CAST(COALESCE(NULLIF(process.STATE, ''), process.COMMAND) AS BINARY) AS state, \
             CAST(process.TIME AS SIGNED) AS seconds, \
             CAST(LEFT(process.INFO, 1024) AS BINARY) AS statement "
        )
    };
}

/// The plugin lists what is held. Connections that wait are in the process list, without the lock.
const PLUGIN: &str = concat!(
    of_process!(
        "IF(locks.LOCK_TYPE = 'User lock', 'named', 'table') AS kind, \
         CAST(IF(locks.LOCK_TYPE = 'User lock', NULL, locks.TABLE_SCHEMA) AS BINARY) AS lock_database, \
         CAST(IF(locks.LOCK_TYPE = 'User lock', locks.TABLE_SCHEMA, locks.TABLE_NAME) AS BINARY) \
         AS lock_name, CAST(REPLACE(locks.LOCK_MODE, 'MDL_', '') AS BINARY) AS mode, TRUE AS held, \
         CAST(locks.THREAD_ID AS UNSIGNED) AS id"
    ),
    "FROM information_schema.METADATA_LOCK_INFO AS locks \
     LEFT JOIN information_schema.PROCESSLIST AS process ON process.ID = locks.THREAD_ID \
     WHERE locks.THREAD_ID NOT IN (0, CONNECTION_ID()) \
     AND (locks.LOCK_TYPE = 'User lock' OR locks.LOCK_TYPE = 'Table metadata lock' AND locks.LOCK_MODE \
     IN ('MDL_SHARED_READ_ONLY', 'MDL_SHARED_NO_WRITE', 'MDL_SHARED_NO_READ_WRITE', 'MDL_EXCLUSIVE')) \
     UNION ALL ",
    of_process!("'either', NULL, NULL, NULL, FALSE, CAST(process.ID AS UNSIGNED)"),
    "FROM information_schema.PROCESSLIST AS process \
     WHERE process.STATE IN ('User lock', 'Waiting for table metadata lock')",
    all_rows!()
);

/// Never cached: MariaDB crashes when it runs a prepared statement on the table of a plugin that
/// was unloaded since (10.11.19 and 11.8).
pub(crate) fn from_performance_schema(conn: &mut MysqlConnection) -> QueryResult<Vec<Row>> {
    diesel::sql_query(PERFORMANCE_SCHEMA).load(conn)
}

/// Never cached, for the same reason.
pub(crate) fn from_plugin(conn: &mut MysqlConnection) -> QueryResult<Vec<Row>> {
    diesel::sql_query(PLUGIN).load(conn)
}
