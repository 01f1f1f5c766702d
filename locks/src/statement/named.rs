//! Named locks: taking, releasing, looking.

mod acquire;
mod look;
mod release;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::Text;

pub(crate) use self::acquire::Acquire;
pub(crate) use self::look::{Look, LookRow};
pub(crate) use self::release::{RELEASE_ALL, Release, release_as_text};
use crate::name::FullName;

/// The longest limit that the hint takes, in milliseconds; 0 would switch nothing off.
/// <https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html>
macro_rules! no_limit {
    () => {
        "4294967295"
    };
}
use no_limit;

/// `SELECT … INTO` sends no rows: a cached statement that fails while it sends rows would never
/// return the next time it is run (MariaDB Connector/C 3.3, on both servers). Its count of rows is
/// the answer. With `LIMIT 1`, since a session's `sql_select_limit` may be 0.
macro_rules! into_nowhere {
    () => {
        "1 INTO @diesel_locks FROM DUAL WHERE "
    };
}
use into_nowhere;

/// Calls a lock function if the connection's database is the one that the client believes.
///
/// Compared as bytes, since `Shop` and `shop` are two databases; with `IF`, so that the function is
/// not called otherwise.
fn guarded<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    database: Option<&'b str>,
    call: impl FnOnce(AstPass<'_, 'b, Mysql>) -> QueryResult<()>,
    otherwise: &str,
) -> QueryResult<()> {
    let Some(database) = database else {
        return call(out);
    };
    out.push_sql("IF(CAST(DATABASE() AS BINARY) = ");
    out.push_bind_param::<Text, _>(database)?;
    out.push_sql(", ");
    call(out.reborrow())?;
    out.push_sql(", ");
    out.push_sql(otherwise);
    out.push_sql(")");
    Ok(())
}

pub(super) fn push_name<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    name: &'b FullName,
) -> QueryResult<()> {
    if name.is_shortened() {
        out.push_sql("CONCAT(LEFT(");
        out.push_bind_param::<Text, _>(name.as_string())?;
        out.push_sql(", 23), '-', LEFT(SHA2(");
        out.push_bind_param::<Text, _>(name.as_string())?;
        out.push_sql(", 256), 40))");
        Ok(())
    } else {
        out.push_bind_param::<Text, _>(name.as_string())
    }
}

/// A statement for a lock.
pub(crate) trait Named {
    /// The same statement, for any name.
    type Any: 'static;
    fn name(&self) -> &FullName;
}

/// A statement whose text is known by its type, so that Diesel finds what it has prepared without
/// making the text each time.
#[derive(Debug)]
pub(crate) struct Typed<'s, S, const CHECKED: bool, const SHORTENED: bool>(pub(crate) &'s S);

impl<S, const CHECKED: bool, const SHORTENED: bool> QueryFragment<Mysql>
    for Typed<'_, S, CHECKED, SHORTENED>
where
    S: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<S: Named, const CHECKED: bool, const SHORTENED: bool> QueryId
    for Typed<'_, S, CHECKED, SHORTENED>
{
    type QueryId = Typed<'static, S::Any, CHECKED, SHORTENED>;
}

impl<Conn, S, const CHECKED: bool, const SHORTENED: bool> diesel::RunQueryDsl<Conn>
    for Typed<'_, S, CHECKED, SHORTENED>
{
}
