//! Lock functions on several names in one statement.

use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;

use super::release::literal;
use super::{Bound, LockFunction, push_checked, push_name};
use crate::name::FullName;
use crate::statement::{Text, Texts};

static ACQUIRE: Texts = Texts::by_text();
static RELEASE: Texts = Texts::by_text();
static INSPECT: Texts = Texts::by_text();

/// Statements for this many names are cached. Each number of names has a different text, so that
/// programs with sets of any size would fill the server with prepared statements.
const MOST_CACHED: usize = 8;

/// The calls on acquiring are nested: MariaDB's stack has room for 200, and not for 500 (measured
/// on 10.11).
pub(crate) const MOST_NAMES: usize = 64;

/// A lock function on all names.
#[derive(Debug)]
pub(crate) struct SetFunction<'n> {
    first: &'n FullName,
    others: &'n [FullName],
    function: Function,
    text: Text,
}

#[derive(Debug, Clone, Copy)]
enum Function {
    Acquire,
    Release,
    Inspect,
}

impl<'n> SetFunction<'n> {
    /// Acquires all of them, or none, without waiting: what was acquired before one that is not
    /// free is released again.
    ///
    /// Both servers evaluate `IF` from the left to the right, and only what they need. MySQL 9.7
    /// stops at an error, and so keeps what comes before the name that caused it.
    pub(crate) fn acquire(first: &'n FullName, others: &'n [FullName]) -> Self {
        Self::new(first, others, Function::Acquire, &ACQUIRE)
    }

    /// Releases all of them, and returns 1 if all of them were held.
    pub(crate) fn release(first: &'n FullName, others: &'n [FullName]) -> Self {
        Self::new(first, others, Function::Release, &RELEASE)
    }

    /// Returns 1 if this connection holds all of them.
    pub(crate) fn inspect(first: &'n FullName, others: &'n [FullName]) -> Self {
        Self::new(first, others, Function::Inspect, &INSPECT)
    }

    fn new(
        first: &'n FullName,
        others: &'n [FullName],
        function: Function,
        texts: &'static Texts,
    ) -> Self {
        // The text also says which of the names are shortened.
        let is_mixed = others.iter().any(|name| name.is_shortened() != first.is_shortened());
        let is_cached = others.len() < MOST_CACHED && !is_mixed;
        let text = if is_cached { texts.current() } else { texts.uncached() };
        Self { first, others, function, text }
    }

    fn names(&self) -> impl DoubleEndedIterator<Item = &'n FullName> {
        std::iter::once(self.first).chain(self.others)
    }

    fn walk_acquire<'b>(
        &'b self,
        bound: Bound,
        mut out: AstPass<'_, 'b, Mysql>,
    ) -> QueryResult<()> {
        let Some(last) = self.others.last() else {
            return push_call(out, "GET_LOCK(", self.first, bound, ", 0)");
        };
        let before_the_last = || self.names().take(self.others.len());
        for name in before_the_last() {
            out.push_sql("IF(");
            push_call(out.reborrow(), "GET_LOCK(", name, bound, ", 0), IF(")?;
        }
        push_call(out.reborrow(), "GET_LOCK(", last, bound, ", 0)")?;
        for name in self.names().rev().skip(1) {
            push_call(out.reborrow(), ", 1, 0 * RELEASE_LOCK(", name, bound, ")), 0)")?;
        }
        Ok(())
    }

    fn walk_release<'b>(
        &'b self,
        bound: Bound,
        mut out: AstPass<'_, 'b, Mysql>,
    ) -> QueryResult<()> {
        out.push_sql("0");
        for name in self.names() {
            push_call(out.reborrow(), " + COALESCE(RELEASE_LOCK(", name, bound, "), 0)")?;
        }
        out.push_sql(" = ");
        out.push_sql(&(self.others.len() + 1).to_string());
        Ok(())
    }

    fn walk_inspect<'b>(
        &'b self,
        bound: Bound,
        mut out: AstPass<'_, 'b, Mysql>,
    ) -> QueryResult<()> {
        out.push_sql("TRUE");
        for name in self.names() {
            push_call(out.reborrow(), " AND IS_USED_LOCK(", name, bound, ") = CONNECTION_ID()")?;
        }
        Ok(())
    }
}

fn push_call<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    before: &str,
    name: &'b FullName,
    bound: Bound,
    after: &str,
) -> QueryResult<()> {
    out.push_sql(before);
    push_name(out.reborrow(), name, bound)?;
    out.push_sql(after);
    Ok(())
}

impl LockFunction for SetFunction<'_> {
    type Any = SetFunction<'static>;

    fn name(&self) -> &FullName {
        self.first
    }

    fn text(&self) -> Text {
        self.text
    }

    fn walk_call<'b>(&'b self, bound: Bound, out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        let call = |out: AstPass<'_, 'b, Mysql>| match self.function {
            Function::Acquire => self.walk_acquire(bound, out),
            Function::Release => self.walk_release(bound, out),
            Function::Inspect => self.walk_inspect(bound, out),
        };
        push_checked(out, self.first, bound, call, "0")
    }
}

/// Releases each of the names as plain text, for when a prepared statement cannot be had.
pub(crate) fn release_set_as_text(names: &[FullName]) -> String {
    let calls: Vec<_> =
        names.iter().map(|name| format!("RELEASE_LOCK({})", literal(name))).collect();
    format!("DO {}", calls.join(", "))
}

/// Releases the names, as plain text, up to the first one that this connection does not hold: after
/// an acquire that MySQL has stopped.
pub(crate) fn release_leading_as_text(names: &[FullName]) -> String {
    let mut calls = "0".to_owned();
    for name in names.iter().rev() {
        let name = literal(name);
        calls = format!(
            "IF(IS_USED_LOCK({name}) = CONNECTION_ID(), RELEASE_LOCK({name}) + {calls}, 0)"
        );
    }
    let checked = |name: &FullName| {
        let database = name.checked_database()?;
        Some(format!("CAST(DATABASE() AS BINARY) = X'{}'", name.digits_of(database)))
    };
    match names.first().and_then(checked) {
        Some(is_checked) => format!("DO IF({is_checked}, {calls}, NULL)"),
        None => format!("DO {calls}"),
    }
}
