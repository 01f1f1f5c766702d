//! Metadata locks on tables.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Unsigned};

use super::{Listing, OF_PROCESS, OF_THREAD, ProcessRow, ProcessTypes, push_locks_and_processes};
use crate::statement::named::push_text;
use crate::statement::never_cached;
use crate::statement::server::ALL_ROWS;

/// The other connections that hold or wait for metadata locks on tables, and a row with the ID 0.
/// InnoDB's own threads, which clean up behind all of them, have no ID: 0 on MariaDB.
#[derive(Debug)]
pub(crate) struct OnTables<'t> {
    pub(crate) listing: Listing,
    /// Database and name, as hexadecimal digits.
    pub(crate) tables: &'t [(Option<String>, String)],
    /// Whether `lower_case_table_names` is set: the server then locks the names in lower case.
    pub(crate) lowered: bool,
}

/// Database, table, mode, whether it is held, connection.
pub(crate) type OnTableRow =
    ((Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, bool, u64), ProcessRow);

impl QueryFragment<Mysql> for OnTables<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        let (database, table) = match self.listing {
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
                ("locks.OBJECT_SCHEMA", "locks.OBJECT_NAME")
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
                ("locks.TABLE_SCHEMA", "locks.TABLE_NAME")
            }
        };
        out.push_sql(" AND (FALSE");
        for (database_name, name) in self.tables {
            out.push_sql(" OR (");
            self.push_equal(out.reborrow(), database, database_name.as_deref())?;
            out.push_sql(" AND ");
            self.push_equal(out.reborrow(), table, Some(name))?;
            out.push_sql(")");
        }
        out.push_sql(
            ") UNION ALL SELECT NULL, NULL, NULL, FALSE, CAST(0 AS UNSIGNED), \
             NULL, NULL, NULL, NULL, CAST(NULL AS SIGNED), NULL",
        );
        out.push_sql(ALL_ROWS);
        Ok(())
    }
}

impl OnTables<'_> {
    fn push_equal<'b>(
        &self,
        mut out: AstPass<'_, 'b, Mysql>,
        column: &str,
        digits: Option<&'b str>,
    ) -> QueryResult<()> {
        out.push_sql(&format!("CAST({column} AS BINARY) = CAST("));
        out.push_sql(if self.lowered { "LOWER(" } else { "(" });
        match digits {
            Some(digits) => push_text(out.reborrow(), digits)?,
            None => out.push_sql("DATABASE()"),
        }
        out.push_sql(") AS BINARY)");
        Ok(())
    }
}

impl Query for OnTables<'_> {
    type SqlType = (
        (Nullable<Binary>, Nullable<Binary>, Nullable<Binary>, Bool, Unsigned<BigInt>),
        ProcessTypes,
    );
}

never_cached!(OnTables<'_>);
