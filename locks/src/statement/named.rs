//! Named locks: acquiring, releasing, inspecting.

mod acquire;
mod inspect;
mod release;
mod set;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Binary;

pub(crate) use self::acquire::Acquire;
pub(crate) use self::inspect::{Inspect, InspectRow};
pub(crate) use self::release::{RELEASE_ALL, Release, release_as_text};
pub(crate) use self::set::{MOST_NAMES, SetFunction, release_leading_as_text, release_set_as_text};
use super::Text;
use crate::name::FullName;

/// The longest timeout that the hint takes, in milliseconds; 0 would switch nothing off.
/// <https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html>
macro_rules! no_timeout {
    () => {
        "4294967295"
    };
}
use no_timeout;

/// `SELECT … INTO` sends no rows: with MariaDB's client library (3.3), a cached statement that fails
/// while it sends rows would never return the next time it is run. The number of rows is the answer.
/// With `LIMIT 1`, since a session's `sql_select_limit` may be 0.
macro_rules! into_nowhere {
    () => {
        "1 INTO @diesel_locks FROM DUAL WHERE "
    };
}
use into_nowhere;

/// A lock function, which returns 1 where it did what it was asked for.
pub(crate) trait LockFunction: QueryFragment<Mysql> {
    /// The same statement, for any name.
    type Any: 'static;

    fn name(&self) -> &FullName;

    fn text(&self) -> Text;
}

/// Calls a lock function if the connection's database is the one that the client assumes.
///
/// Compared as bytes, since `Shop` and `shop` are two databases; with `IF`, so that the function is
/// not called otherwise.
fn push_checked<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    name: &'b FullName,
    call: impl FnOnce(AstPass<'_, 'b, Mysql>) -> QueryResult<()>,
    otherwise: &str,
) -> QueryResult<()> {
    let Some(database) = name.checked_database() else {
        return call(out);
    };
    out.push_sql("IF(CAST(DATABASE() AS BINARY) = ");
    out.push_bind_param::<Binary, _>(database.as_bytes())?;
    out.push_sql(", ");
    call(out.reborrow())?;
    out.push_sql(", ");
    out.push_sql(otherwise);
    out.push_sql(")");
    Ok(())
}

/// The name of the lock. Names are bound as bytes and converted by the server from UTF-8, so that a
/// session's character set never decides which lock a name is.
pub(crate) fn push_name<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    name: &'b FullName,
) -> QueryResult<()> {
    if name.is_shortened() {
        out.push_sql("CONCAT(LEFT(");
        push_text(out.reborrow(), name.as_bytes())?;
        out.push_sql(", 23), '-', LEFT(SHA2(");
        push_text(out.reborrow(), name.as_bytes())?;
        out.push_sql(", 256), 40))");
        Ok(())
    } else {
        push_text(out, name.as_bytes())
    }
}

/// A text as bytes, whatever the session's character sets are.
pub(crate) fn push_text<'b>(mut out: AstPass<'_, 'b, Mysql>, text: &'b [u8]) -> QueryResult<()> {
    out.push_sql("CONVERT(");
    out.push_bind_param::<Binary, _>(text)?;
    out.push_sql(" USING utf8mb4)");
    Ok(())
}

/// A lock function whose text is known by its type, so that Diesel finds what it has prepared without
/// making the text each time.
#[derive(Debug)]
pub(crate) struct ByType<'s, S, const CHECKED: bool, const SHORTENED: bool>(pub(crate) &'s S);

impl<S, const CHECKED: bool, const SHORTENED: bool> QueryFragment<Mysql>
    for ByType<'_, S, CHECKED, SHORTENED>
where
    S: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<S: LockFunction, const CHECKED: bool, const SHORTENED: bool> QueryId
    for ByType<'_, S, CHECKED, SHORTENED>
{
    type QueryId = ByType<'static, S::Any, CHECKED, SHORTENED>;
}

/// A lock function that Diesel finds by its text.
#[derive(Debug)]
pub(crate) struct ByText<'s, S>(pub(crate) &'s S);

impl<S: QueryFragment<Mysql>> QueryFragment<Mysql> for ByText<'_, S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<S> QueryId for ByText<'_, S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
