//! `IS_USED_LOCK`.

use std::sync::atomic::{AtomicU64, Ordering};

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text, Unsigned};

use super::{guarded, no_limit, push_name};
use crate::name::FullName;

/// `IS_USED_LOCK`, with what else tells who and where the connection is.
///
/// It returns a row, so it must never be run again from the cache once it has failed: each failure
/// begins a new generation, whose text is another statement.
#[derive(Debug)]
pub(crate) struct Look<'n> {
    name: &'n FullName,
    generation: u64,
}

static LOOK_GENERATION: AtomicU64 = AtomicU64::new(0);

impl<'n> Look<'n> {
    pub(crate) fn new(name: &'n FullName) -> Self {
        Self { name, generation: LOOK_GENERATION.load(Ordering::Relaxed) }
    }

    /// To be called after a failure, before the next look on any connection.
    pub(crate) fn retire() {
        LOOK_GENERATION.fetch_add(1, Ordering::Relaxed);
    }
}

/// The default database, the lock's holder, this connection.
pub(crate) type LookRow = (Option<String>, Option<u64>, u64);

impl QueryFragment<Mysql> for Look<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!(
            "SELECT /*+ MAX_EXECUTION_TIME(",
            no_limit!(),
            ") */ DATABASE(), CAST("
        ));
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("IS_USED_LOCK(");
            push_name(out.reborrow(), self.name)?;
            out.push_sql(")");
            Ok(())
        };
        guarded(out.reborrow(), self.name.database(), call, "NULL")?;
        out.push_sql(" AS UNSIGNED), CONNECTION_ID() LIMIT 1");
        if self.generation > 0 {
            out.push_sql(" /* ");
            out.push_sql(&self.generation.to_string());
            out.push_sql(" */");
        }
        Ok(())
    }
}

impl Query for Look<'_> {
    type SqlType = (Nullable<Text>, Nullable<Unsigned<BigInt>>, Unsigned<BigInt>);
}

/// Cached by its text, which tells the generations apart.
impl QueryId for Look<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> diesel::RunQueryDsl<Conn> for Look<'_> {}
