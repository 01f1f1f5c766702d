//! Named locks: what is held, and who waits.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Unsigned};

use super::{
    LOCKS, Listing, NameCase, OF_THREAD, ProcessTypes, push_listed, push_locks_and_processes,
};
use crate::name::FullName;
use crate::statement::named::{Bound, push_name, push_text};
use crate::statement::never_cached;
use crate::statement::server::ALL_ROWS;

/// The held locks of the connection's database whose names have a beginning: one row at least, with
/// the database, the name after it, the connection.
///
/// `DATABASE()` is the database in which a statement was prepared, on both servers: one more reason
/// not to cache it.
#[derive(Debug)]
pub(crate) struct HeldWithPrefix<'p> {
    pub(crate) listing: Listing,
    pub(crate) case: NameCase,
    /// As hexadecimal digits.
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
            out.push_sql("CONCAT(CONVERT(DATABASE() USING utf8mb4), '.', ");
            push_text(out.reborrow(), self.prefix)?;
            out.push_sql(")");
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

/// The connections that wait for a named lock, and a row with the ID 0.
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
        push_listed(out.reborrow(), self.case, |out| push_name(out, self.name, Bound::Digits))?;
        out.push_sql(" UNION ALL SELECT CAST(0 AS UNSIGNED), NULL, NULL, NULL, NULL, CAST(NULL AS SIGNED), NULL");
        out.push_sql(ALL_ROWS);
        Ok(())
    }
}

impl Query for Waiting<'_> {
    type SqlType = (Unsigned<BigInt>, ProcessTypes);
}

never_cached!(HeldWithPrefix<'_>, CurrentDatabase, Waiting<'_>);
