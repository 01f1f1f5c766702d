//! Named locks: taking, releasing, looking.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Double, Nullable, Text, Unsigned};

use crate::name::FullName;
use crate::timeout::whole_seconds;

/// The longest limit that the hint takes, in milliseconds; 0 would switch nothing off.
/// <https://dev.mysql.com/doc/refman/8.4/en/optimizer-hints.html>
macro_rules! no_limit {
    () => {
        "4294967295"
    };
}

/// `SELECT … INTO` sends no rows: a cached statement that fails while it sends rows would never
/// return the next time it is run (MariaDB Connector/C 3.3, on both servers). Its count of rows is
/// the answer. With `LIMIT 1`, since a session's `sql_select_limit` may be 0.
macro_rules! into_nowhere {
    () => {
        "1 INTO @diesel_locks FROM DUAL WHERE "
    };
}

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

/// How long `GET_LOCK` is told to wait.
#[derive(Debug)]
enum ServerWait {
    Seconds(i64),
    /// The hint limits the wait on MySQL, which rounds the argument to whole seconds.
    Hinted {
        milliseconds: u32,
        seconds: f64,
        next_second: i64,
    },
}

/// `GET_LOCK`: one row where the lock was taken.
#[derive(Debug)]
pub(crate) struct Acquire<'n> {
    name: &'n FullName,
    wait: ServerWait,
}

impl<'n> Acquire<'n> {
    /// With the hint also a wait of whole seconds outlasts a session's `max_execution_time` on
    /// MySQL; a fraction always has it.
    pub(crate) fn new(name: &'n FullName, wait: Duration, hinted: bool) -> Self {
        let next_second = i64::try_from(whole_seconds(wait)).unwrap_or(i64::MAX);
        let wait = if wait.subsec_nanos() == 0 && !hinted {
            ServerWait::Seconds(next_second)
        } else {
            // Not 0, which would be no limit at all.
            let milliseconds = wait.as_nanos().div_ceil(1_000_000).max(1);
            ServerWait::Hinted {
                milliseconds: u32::try_from(milliseconds).unwrap_or(u32::MAX),
                seconds: wait.as_secs_f64(),
                next_second,
            }
        };
        Self { name, wait }
    }

    pub(crate) fn is_hinted(&self) -> bool {
        matches!(self.wait, ServerWait::Hinted { .. })
    }
}

impl QueryFragment<Mysql> for Acquire<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        match &self.wait {
            ServerWait::Seconds(_) => out.push_sql(concat!("SELECT ", into_nowhere!())),
            ServerWait::Hinted { milliseconds, .. } => {
                out.unsafe_to_cache_prepared();
                out.push_sql("SELECT /*+ MAX_EXECUTION_TIME(");
                out.push_sql(&milliseconds.to_string());
                out.push_sql(concat!(") */ ", into_nowhere!()));
            }
        }
        let call = |mut out: AstPass<'_, 'b, Mysql>| {
            out.push_sql("GET_LOCK(");
            push_name(out.reborrow(), self.name)?;
            out.push_sql(", ");
            match &self.wait {
                ServerWait::Seconds(seconds) => out.push_bind_param::<BigInt, _>(seconds)?,
                ServerWait::Hinted { seconds, next_second, .. } => {
                    out.push_sql("IF(VERSION() LIKE '%MariaDB%', ");
                    out.push_bind_param::<Double, _>(seconds)?;
                    out.push_sql(", ");
                    out.push_bind_param::<BigInt, _>(next_second)?;
                    out.push_sql(")");
                }
            }
            out.push_sql(")");
            Ok(())
        };
        guarded(out.reborrow(), self.name.database(), call, "0")?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

impl Named for Acquire<'_> {
    type Any = Acquire<'static>;

    fn name(&self) -> &FullName {
        self.name
    }
}

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
