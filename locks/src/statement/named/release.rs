//! `RELEASE_LOCK` and `RELEASE_ALL_LOCKS`.

use std::fmt::Write as _;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::result::QueryResult;

use super::{Named, guarded, into_nowhere, no_limit, push_name};
use crate::name::FullName;

/// `RELEASE_LOCK`: one row where the connection held the lock.
///
/// The hint keeps a session's `max_execution_time` from striking after it was released, when the
/// answer would be lost.
#[derive(Debug)]
pub(crate) struct Release<'n>(pub(crate) &'n FullName);

impl QueryFragment<Mysql> for Release<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(concat!(
            "SELECT /*+ MAX_EXECUTION_TIME(",
            no_limit!(),
            ") */ ",
            into_nowhere!()
        ));
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("RELEASE_LOCK(");
            push_name(out.reborrow(), self.0)?;
            out.push_sql(")");
            Ok(())
        };
        guarded(out.reborrow(), self.0.database(), call, "0")?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

impl Named for Release<'_> {
    type Any = Release<'static>;

    fn name(&self) -> &FullName {
        self.0
    }
}

/// `RELEASE_LOCK` as plain text, for when a prepared statement cannot be had. Names are sent in
/// hexadecimal digits, so that nothing in them needs quoting.
pub(crate) fn release_as_text(name: &FullName) -> String {
    let mut literal = format!("CONVERT({} USING utf8mb4)", hexadecimal(name.as_string()));
    if name.is_shortened() {
        literal = format!("CONCAT(LEFT({literal}, 23), '-', LEFT(SHA2({literal}, 256), 40))");
    }
    let release = format!("RELEASE_LOCK({literal})");
    match name.database() {
        Some(database) => {
            let database = hexadecimal(database);
            format!("DO IF(CAST(DATABASE() AS BINARY) = {database}, {release}, NULL)")
        }
        None => format!("DO {release}"),
    }
}

fn hexadecimal(text: &str) -> String {
    let mut literal = String::from("X'");
    for byte in text.bytes() {
        // Writing to a string cannot fail.
        let _ = write!(literal, "{byte:02X}");
    }
    literal.push('\'');
    literal
}

/// What to select to release all, and to learn how many there were.
pub(crate) const RELEASE_ALL: &str = "CAST(RELEASE_ALL_LOCKS() AS UNSIGNED) LIMIT 1";
