//! Who holds and waits for what.
//!
//! None of these is ever cached: they return rows, and may fail while they do. Besides, MariaDB
//! (10.11.19 and 11.8) crashes when it runs a prepared statement on the table of a plugin that was
//! unloaded since it was prepared.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Unsigned};

use super::named::push_name;
use super::server::ALL_ROWS;
use crate::lockable::TableName;
use crate::name::FullName;

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

/// A name as the server lists it, to be compared byte by byte.
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

/// The held locks of the connection's database whose names have a beginning: one row at least, with
/// the database, the name after it, the connection.
///
/// `DATABASE()` is the database in which a statement was prepared, on both servers: one more reason
/// not to cache it.
#[derive(Debug)]
pub(crate) struct HeldWithPrefix<'p> {
    pub(crate) listing: Listing,
    pub(crate) case: NameCase,
    pub(crate) prefix: &'p str,
}

pub(crate) type HeldRow = (Option<Vec<u8>>, Option<Vec<u8>>, Option<u64>);

impl QueryFragment<Mysql> for HeldWithPrefix<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        // Characters of the database are as many in either case.
        out.push_sql(
            "SELECT CAST(here.name AS BINARY), \
             CAST(SUBSTRING(held.name, CHAR_LENGTH(here.name) + 2) AS BINARY), \
             CAST(held.id AS UNSIGNED) FROM (SELECT DATABASE() AS name, ",
        );
        push_listed(out.reborrow(), self.case, |mut out| {
            out.push_sql("CONCAT(CONVERT(DATABASE() USING utf8mb4), '.', CONVERT(");
            out.push_bind_param::<Text, _>(self.prefix)?;
            out.push_sql(" USING utf8mb4))");
            Ok(())
        })?;
        out.push_sql(" AS beginning) AS here LEFT JOIN (");
        match self.listing {
            Listing::PerformanceSchema => {
                out.push_sql(
                    "SELECT locks.OBJECT_NAME AS name, threads.PROCESSLIST_ID AS id FROM ",
                );
                out.push_sql(LOCKS);
                out.push_sql(
                    " WHERE locks.OBJECT_TYPE = 'USER LEVEL LOCK' AND locks.LOCK_STATUS = 'GRANTED'",
                );
            }
            Listing::Plugin => out.push_sql(
                "SELECT TABLE_SCHEMA AS name, THREAD_ID AS id \
                 FROM information_schema.METADATA_LOCK_INFO WHERE LOCK_TYPE = 'User lock'",
            ),
        }
        out.push_sql(
            ") AS held ON LEFT(CAST(held.name AS BINARY), LENGTH(here.beginning)) = here.beginning",
        );
        out.push_sql(ALL_ROWS);
        Ok(())
    }
}

impl Query for HeldWithPrefix<'_> {
    type SqlType = (Nullable<Binary>, Nullable<Binary>, Nullable<Unsigned<BigInt>>);
}

/// The database of the connection, now.
#[derive(Debug)]
pub(crate) struct CurrentDatabase;

impl QueryFragment<Mysql> for CurrentDatabase {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT CAST(DATABASE() AS BINARY) LIMIT 1");
        Ok(())
    }
}

impl Query for CurrentDatabase {
    type SqlType = Nullable<Binary>;
}

/// A connection, as the server lists it: user, host, database, state, seconds in that state,
/// statement.
pub(crate) type ClientRow = (
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<i64>,
    Option<Vec<u8>>,
);

type ClientTypes = (
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

/// A connection, as far as this user may see: one row, which says whether anything was listed.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: u64,
    /// Not by the table that MySQL has deprecated, if the other one can be read.
    pub(crate) deprecated: bool,
}

impl QueryFragment<Mysql> for Process {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT process.ID IS NOT NULL OR ");
        out.push_sql(if self.deprecated {
            "TRUE"
        } else {
            "@@performance_schema /*M!100000 OR TRUE */"
        });
        out.push_sql(", ");
        out.push_sql(OF_PROCESS);
        out.push_sql(" FROM (SELECT 1) AS one LEFT JOIN ");
        out.push_sql(if self.deprecated { DEPRECATED_PROCESSES } else { PROCESSES });
        out.push_sql(" ON process.ID = ");
        out.push_bind_param::<Unsigned<BigInt>, _>(&self.id)?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

impl Query for Process {
    type SqlType = (Bool, ClientTypes);
}

/// Who waits for a named lock.
#[derive(Debug)]
pub(crate) struct Waiting<'n> {
    pub(crate) name: &'n FullName,
    pub(crate) case: NameCase,
}

impl QueryFragment<Mysql> for Waiting<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT CAST(threads.PROCESSLIST_ID AS UNSIGNED), ");
        out.push_sql(OF_THREAD);
        push_locks_and_processes(out.reborrow());
        out.push_sql(
            " WHERE locks.OBJECT_TYPE = 'USER LEVEL LOCK' AND locks.LOCK_STATUS = 'PENDING' \
             AND threads.PROCESSLIST_ID IS NOT NULL AND CAST(locks.OBJECT_NAME AS BINARY) = ",
        );
        push_listed(out.reborrow(), self.case, |out| push_name(out, self.name))?;
        out.push_sql(" ORDER BY threads.PROCESSLIST_TIME DESC, threads.PROCESSLIST_ID");
        out.push_sql(ALL_ROWS);
        Ok(())
    }
}

impl Query for Waiting<'_> {
    type SqlType = (Unsigned<BigInt>, ClientTypes);
}

/// Which other connections hold or wait for metadata locks on tables. InnoDB's own threads, which
/// clean up behind all of them, have no number: 0 on MariaDB.
#[derive(Debug)]
pub(crate) struct OnTables<'t> {
    pub(crate) listing: Listing,
    pub(crate) tables: &'t [TableName],
    /// Whether `lower_case_table_names` is set: the server then locks the names in lower case.
    pub(crate) lowered: bool,
}

/// Database, table, mode, whether it is held, connection.
pub(crate) type OnTableRow =
    ((Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, bool, u64), ClientRow);

impl QueryFragment<Mysql> for OnTables<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        let (database, table, id) = match self.listing {
            Listing::PerformanceSchema => {
                out.push_sql(
                    "SELECT CAST(locks.OBJECT_SCHEMA AS BINARY), CAST(locks.OBJECT_NAME AS BINARY), \
                     CAST(locks.LOCK_TYPE AS BINARY), locks.LOCK_STATUS = 'GRANTED', \
                     CAST(threads.PROCESSLIST_ID AS UNSIGNED), ",
                );
                out.push_sql(OF_THREAD);
                push_locks_and_processes(out.reborrow());
                out.push_sql(
                    " WHERE locks.OBJECT_TYPE = 'TABLE' \
                     AND locks.LOCK_STATUS IN ('GRANTED', 'PENDING') \
                     AND threads.PROCESSLIST_ID NOT IN (0, CONNECTION_ID())",
                );
                ("locks.OBJECT_SCHEMA", "locks.OBJECT_NAME", "threads.PROCESSLIST_ID")
            }
            Listing::Plugin => {
                out.push_sql(
                    "SELECT CAST(locks.TABLE_SCHEMA AS BINARY), CAST(locks.TABLE_NAME AS BINARY), \
                     CAST(locks.LOCK_MODE AS BINARY), TRUE, CAST(locks.THREAD_ID AS UNSIGNED), ",
                );
                out.push_sql(OF_PROCESS);
                out.push_sql(
                    " FROM information_schema.METADATA_LOCK_INFO AS locks \
                     LEFT JOIN information_schema.PROCESSLIST AS process \
                     ON process.ID = locks.THREAD_ID \
                     WHERE locks.LOCK_TYPE = 'Table metadata lock' \
                     AND locks.THREAD_ID NOT IN (0, CONNECTION_ID())",
                );
                ("locks.TABLE_SCHEMA", "locks.TABLE_NAME", "locks.THREAD_ID")
            }
        };
        out.push_sql(" AND (FALSE");
        for name in self.tables {
            out.push_sql(" OR (");
            self.push_equal(out.reborrow(), database, name.database())?;
            out.push_sql(" AND ");
            self.push_equal(out.reborrow(), table, Some(name.table()))?;
            out.push_sql(")");
        }
        out.push_sql(") ORDER BY ");
        out.push_sql(&format!("{database}, {table}, {id}"));
        out.push_sql(ALL_ROWS);
        Ok(())
    }
}

impl OnTables<'_> {
    fn push_equal<'b>(
        &self,
        mut out: AstPass<'_, 'b, Mysql>,
        column: &str,
        name: Option<&'b str>,
    ) -> QueryResult<()> {
        out.push_sql(&format!("CAST({column} AS BINARY) = CAST("));
        out.push_sql(if self.lowered { "LOWER(" } else { "(" });
        match name {
            Some(name) => {
                out.push_sql("CONVERT(");
                out.push_bind_param::<Text, _>(name)?;
                out.push_sql(" USING utf8mb4)");
            }
            None => out.push_sql("DATABASE()"),
        }
        out.push_sql(") AS BINARY)");
        Ok(())
    }
}

impl Query for OnTables<'_> {
    type SqlType = (
        (Nullable<Binary>, Nullable<Binary>, Nullable<Binary>, Bool, Unsigned<BigInt>),
        ClientTypes,
    );
}

macro_rules! never_cached {
    ($($statement:ty),*) => {$(
        impl QueryId for $statement {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
        impl<Conn> diesel::RunQueryDsl<Conn> for $statement {}
    )*};
}
never_cached!(HeldWithPrefix<'_>, CurrentDatabase, Process, Waiting<'_>, OnTables<'_>);
