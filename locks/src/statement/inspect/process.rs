//! One connection.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Unsigned};

use super::{DEPRECATED_PROCESSES, OF_PROCESS, PROCESSES, ProcessTypes};
use crate::statement::never_cached;

/// A connection, as far as this user may see: one row, which says whether anything was listed.
#[derive(Debug)]
pub(crate) struct OneProcess {
    pub(crate) id: u64,
    /// Not by the table that MySQL has deprecated, if the other one can be read.
    pub(crate) deprecated: bool,
}

impl QueryFragment<Mysql> for OneProcess {
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

impl Query for OneProcess {
    type SqlType = (Bool, ProcessTypes);
}

never_cached!(OneProcess);
