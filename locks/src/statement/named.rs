//! Named locks: acquiring, releasing, inspecting.

mod acquire;
mod inspect;
mod release;
mod set;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
#[cfg(feature = "async")]
use diesel::sql_types::Unsigned;
use diesel::sql_types::{BigInt, Binary, Nullable, Text as TextType};

pub(crate) use self::acquire::Acquire;
#[cfg(feature = "async")]
pub(crate) use self::inspect::NumberedInspect;
pub(crate) use self::inspect::{Inspect, InspectRow, OTHER_DATABASE, UsedLock};
pub(crate) use self::release::{RELEASE_ALL, Release, release_as_text, sleep};
pub(crate) use self::set::{MOST_NAMES, SetFunction, release_leading_as_text, release_set_as_text};
use super::Text;
#[cfg(feature = "async")]
use super::push_client_number;
use crate::name::FullName;

/// The longest timeout that the hint takes, in milliseconds; 0 would switch nothing off.
/// <https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html>
macro_rules! no_timeout {
    () => {
        "4294967295"
    };
}
use no_timeout;

/// A lock function, which returns 1 where it did what it was asked for.
pub(crate) trait LockFunction: Sync {
    /// The same function, for any name.
    type Any: LockFunction + 'static;

    fn name(&self) -> &FullName;

    fn text(&self) -> Text;

    /// `SELECT`, with a hint if there is one. For functions that do not wait: the session's own
    /// `max_execution_time` must not lose their answer.
    fn push_select(&self, out: &mut AstPass<'_, '_, Mysql>) {
        out.push_sql(concat!("SELECT /*+ MAX_EXECUTION_TIME(", no_timeout!(), ") */ "));
    }

    fn walk_call<'b>(&'b self, bound: Bound, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()>;
}

/// How a name is bound. Either way, a session's character set never decides which lock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// As bytes, which the server converts from UTF-8.
    #[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "the other driver has none"))]
    Bytes,
    /// As hexadecimal digits, which are the same in all character sets: diesel-async's driver has
    /// no bytes that the server does not convert from `character_set_client`.
    Digits,
}

/// Calls a lock function if the connection's database is the one that the client assumes.
///
/// Compared as bytes, since `Shop` and `shop` are two databases; with `IF`, so that the function is
/// not called otherwise.
fn push_checked<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    name: &'b FullName,
    bound: Bound,
    call: impl FnOnce(AstPass<'_, 'b, Mysql>) -> QueryResult<()>,
    otherwise: &str,
) -> QueryResult<()> {
    let Some(database) = name.checked_database() else {
        return call(out);
    };
    out.push_sql("IF(CAST(DATABASE() AS BINARY) = ");
    match bound {
        Bound::Bytes => out.push_bind_param::<Binary, _>(database.as_bytes())?,
        Bound::Digits => push_digits(out.reborrow(), name.digits_of(database))?,
    }
    out.push_sql(", ");
    call(out.reborrow())?;
    out.push_sql(", ");
    out.push_sql(otherwise);
    out.push_sql(")");
    Ok(())
}

/// Returns the name of the lock.
pub(crate) fn push_name<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    name: &'b FullName,
    bound: Bound,
) -> QueryResult<()> {
    let push_once = |mut out: AstPass<'_, 'b, Mysql>| {
        match bound {
            Bound::Bytes => {
                out.push_sql("CONVERT(");
                out.push_bind_param::<Binary, _>(name.as_bytes())?;
                out.push_sql(" USING utf8mb4)");
            }
            Bound::Digits => push_text(out.reborrow(), name.digits())?,
        }
        Ok(())
    };
    if name.is_shortened() {
        out.push_sql("CONCAT(LEFT(");
        push_once(out.reborrow())?;
        out.push_sql(", 23), '-', LEFT(SHA2(");
        push_once(out.reborrow())?;
        out.push_sql(", 256), 40))");
        Ok(())
    } else {
        push_once(out)
    }
}

/// Returns a text in UTF-8 of which these are the digits.
pub(crate) fn push_text<'b>(mut out: AstPass<'_, 'b, Mysql>, digits: &'b str) -> QueryResult<()> {
    out.push_sql("CONVERT(");
    push_digits(out.reborrow(), digits)?;
    out.push_sql(" USING utf8mb4)");
    Ok(())
}

/// Bytes of which these are the digits. In a session whose character set is UTF-16, they come as
/// that.
fn push_digits<'b>(mut out: AstPass<'_, 'b, Mysql>, digits: &'b str) -> QueryResult<()> {
    out.push_sql("UNHEX(CONVERT(");
    out.push_bind_param::<TextType, _>(digits)?;
    out.push_sql(" USING latin1))");
    Ok(())
}

/// A lock function whose count of rows says whether it returned 1. It sends no rows: with MariaDB's
/// client library (3.3), a cached statement that fails while it sends rows would never return the
/// next time it is run. With `LIMIT 1`, since a session's `sql_select_limit` may be 0.
#[cfg(feature = "mysql")]
#[derive(Debug)]
pub(crate) struct Counted<'s, S>(pub(crate) &'s S);

#[cfg(feature = "mysql")]
impl<S: LockFunction> QueryFragment<Mysql> for Counted<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.push_select(&mut out);
        out.push_sql("1 INTO @diesel_locks FROM DUAL WHERE ");
        self.0.walk_call(Bound::Bytes, out.reborrow())?;
        out.push_sql(" LIMIT 1");
        self.0.text().push_end(&mut out);
        Ok(())
    }
}

/// A lock function whose row is what it returns.
#[cfg(feature = "mysql")]
#[derive(Debug)]
pub(crate) struct Valued<'s, S>(pub(crate) &'s S);

#[cfg(feature = "mysql")]
impl<S: LockFunction> QueryFragment<Mysql> for Valued<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.push_select(&mut out);
        push_value(self.0, Bound::Bytes, out)
    }
}

#[cfg(feature = "mysql")]
impl<S> Query for Valued<'_, S> {
    type SqlType = Nullable<BigInt>;
}

fn push_value<'b, S: LockFunction>(
    function: &'b S,
    bound: Bound,
    mut out: AstPass<'_, 'b, Mysql>,
) -> QueryResult<()> {
    out.push_sql("CAST(");
    function.walk_call(bound, out.reborrow())?;
    out.push_sql(" AS SIGNED) LIMIT 1");
    function.text().push_end(&mut out);
    Ok(())
}

/// A lock function whose row begins with the client's own number.
#[cfg(feature = "async")]
#[derive(Debug)]
pub(crate) struct Numbered<'s, S> {
    pub(crate) function: &'s S,
    pub(crate) number: u64,
}

#[cfg(feature = "async")]
impl<S: LockFunction> QueryFragment<Mysql> for Numbered<'_, S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.function.push_select(&mut out);
        push_client_number(out.reborrow(), &self.number)?;
        out.push_sql(", ");
        push_value(self.function, Bound::Digits, out)
    }
}

#[cfg(feature = "async")]
impl<S> Query for Numbered<'_, S> {
    type SqlType = (Unsigned<BigInt>, Nullable<BigInt>);
}

/// A statement about a lock, without what is different from one name to another.
pub(crate) trait AnyName {
    type Any: 'static;
}

#[cfg(feature = "mysql")]
impl<S: LockFunction> AnyName for Counted<'_, S> {
    type Any = Counted<'static, S::Any>;
}

#[cfg(feature = "mysql")]
impl<S: LockFunction> AnyName for Valued<'_, S> {
    type Any = Valued<'static, S::Any>;
}

#[cfg(feature = "async")]
impl<S: LockFunction> AnyName for Numbered<'_, S> {
    type Any = Numbered<'static, S::Any>;
}

/// A statement whose text is known by its type, so that Diesel finds what it has prepared without
/// making the text each time.
#[derive(Debug)]
pub(crate) struct ByType<S, const CHECKED: bool, const SHORTENED: bool>(pub(crate) S);

impl<S: AnyName, const CHECKED: bool, const SHORTENED: bool> QueryId
    for ByType<S, CHECKED, SHORTENED>
{
    type QueryId = ByType<S::Any, CHECKED, SHORTENED>;
}

impl<S, const CHECKED: bool, const SHORTENED: bool> QueryFragment<Mysql>
    for ByType<S, CHECKED, SHORTENED>
where
    S: QueryFragment<Mysql>,
{
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<S: Query, const CHECKED: bool, const SHORTENED: bool> Query for ByType<S, CHECKED, SHORTENED> {
    type SqlType = S::SqlType;
}

impl<Conn, S, const CHECKED: bool, const SHORTENED: bool> diesel::RunQueryDsl<Conn>
    for ByType<S, CHECKED, SHORTENED>
{
}

/// A statement that Diesel finds by its text.
#[derive(Debug)]
pub(crate) struct ByText<S>(pub(crate) S);

impl<S> QueryId for ByText<S> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<S: QueryFragment<Mysql>> QueryFragment<Mysql> for ByText<S> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

impl<S: Query> Query for ByText<S> {
    type SqlType = S::SqlType;
}

impl<Conn, S> diesel::RunQueryDsl<Conn> for ByText<S> {}
