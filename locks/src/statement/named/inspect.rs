//! `IS_USED_LOCK`.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Unsigned};

use super::{no_timeout, push_checked, push_name};
use crate::name::FullName;
use crate::statement::{Statement, Text, Texts, cached_by_text};

static TEXTS: Texts = Texts::new();

/// `IS_USED_LOCK`, with the connection's database and ID.
#[derive(Debug)]
pub(crate) struct Inspect<'n> {
    name: &'n FullName,
    text: Text,
}

impl<'n> Inspect<'n> {
    pub(crate) fn new(name: &'n FullName) -> Self {
        Self { name, text: TEXTS.current() }
    }

    /// Both servers run a prepared statement in the database in which it was prepared.
    pub(crate) fn uncached(name: &'n FullName) -> Self {
        Self { name, text: TEXTS.uncached() }
    }
}

/// The default database, the connection that holds the lock, this connection.
pub(crate) type InspectRow = (Option<Vec<u8>>, Option<u64>, u64);

impl QueryFragment<Mysql> for Inspect<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!(
            "SELECT /*+ MAX_EXECUTION_TIME(",
            no_timeout!(),
            ") */ CAST(DATABASE() AS BINARY), CAST("
        ));
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("IS_USED_LOCK(");
            push_name(out.reborrow(), self.name)?;
            out.push_sql(")");
            Ok(())
        };
        push_checked(out.reborrow(), self.name, call, "NULL")?;
        out.push_sql(" AS UNSIGNED), CONNECTION_ID() LIMIT 1");
        self.text.push_end(&mut out);
        Ok(())
    }
}

impl Query for Inspect<'_> {
    type SqlType = (Nullable<Binary>, Nullable<Unsigned<BigInt>>, Unsigned<BigInt>);
}

impl Statement for Inspect<'_> {
    fn text(&self) -> Option<Text> {
        Some(self.text)
    }
}

cached_by_text!(Inspect<'_>);
