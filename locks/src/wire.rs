//! One request to the server and its answer, on a blocking connection or is awaited.
//!
//! The conversations with the server are written as `async fn`s over [`Wire`], once for both
//! drivers. On a blocking connection each step is ready at once, and a conversation is polled a
//! single time.

#[cfg(feature = "async")]
mod awaited;
#[cfg(feature = "mysql")]
mod blocking;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use diesel::mysql::Mysql;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::result::QueryResult;

#[cfg(feature = "async")]
pub(crate) use self::awaited::close_at_once;
#[cfg(feature = "mysql")]
pub(crate) use self::blocking::{abandon_on_panic, now};
use crate::statement::Statement;
#[cfg(feature = "mysql")]
use crate::statement::Text;
use crate::statement::named::{Inspect, InspectRow, LockFunction};

/// A connection, as the conversations use it.
pub(crate) trait Wire: Send {
    /// The longest wait asked of the server at once.
    const LONGEST_WAIT: Duration;

    /// One request, and its answer.
    type Step<'a, T: Send + 'a>: Future<Output = QueryResult<T>> + Send
    where
        Self: 'a;

    /// Runs a lock function: whether it returned 1.
    fn call<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, bool>;

    /// Runs a lock function that grants nothing: what it returned.
    fn value<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, Option<i64>>;

    /// Looks at a named lock.
    fn inspect<'a>(&'a mut self, inspect: &'a Inspect<'a>) -> Self::Step<'a, InspectRow>;

    /// Runs a query that returns one row.
    fn row<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Row>;

    /// Runs a query that returns at least one row.
    fn rows<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Vec<Row>>;

    /// Runs a statement that returns no rows: how many it has written, counted as the server does.
    fn execute<'a>(&'a mut self, statement: impl Execute + 'a) -> Self::Step<'a, usize>;

    /// Makes certain that the next answer belongs to the next request, where a driver does not. To
    /// be called before batches that grant or end something, whose answers have no rows.
    fn in_step(&mut self) -> Self::Step<'_, ()>;

    /// Runs statements as text, one after the other.
    fn batch<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()>;

    /// The same, for statements that begin a transaction, of which Diesel then knows.
    fn begin<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()>;

    /// Begins a savepoint of Diesel's inside the open transaction.
    fn begin_nested(&mut self) -> Self::Step<'_, ()>;

    /// Ends the innermost transaction or savepoint that Diesel knows of.
    fn commit(&mut self) -> Self::Step<'_, ()>;

    /// Rolls it back.
    fn roll_back(&mut self) -> Self::Step<'_, ()>;

    /// Returns how many transactions are open as far as Diesel knows, savepoints included.
    fn depth(&mut self) -> QueryResult<u32>;

    /// Returns whether the open transaction is one of Diesel's test transactions.
    fn is_test_transaction(&mut self) -> bool;

    /// Makes Diesel know that no transaction is open.
    fn forget_transactions(&mut self);

    /// Marks the connection as unusable, so that a pool discards it.
    fn mark_broken(&mut self);
}

/// A statement that returns rows.
pub(crate) trait Query<'q, Row>:
    Statement
    + QueryFragment<Mysql>
    + QueryId
    + Send
    + driver::Blocking<'q, Row>
    + driver::Awaited<'q, Row>
    + 'q
{
}

impl<'q, Row, S> Query<'q, Row> for S where
    S: Statement
        + QueryFragment<Mysql>
        + QueryId
        + Send
        + driver::Blocking<'q, Row>
        + driver::Awaited<'q, Row>
        + 'q
{
}

/// A statement that returns no rows.
pub(crate) trait Execute: Statement + QueryFragment<Mysql> + QueryId + Send {}

impl<S: Statement + QueryFragment<Mysql> + QueryId + Send> Execute for S {}

/// Statements that each of the drivers can run, if it is compiled in.
mod driver {
    macro_rules! runs_on {
        ($driver:ident, $feature:literal, $($load_query:tt)*) => {
            #[cfg(feature = $feature)]
            pub(crate) trait $driver<'q, Row>: $($load_query)* {}
            #[cfg(feature = $feature)]
            impl<'q, Row, S: $($load_query)*> $driver<'q, Row> for S {}

            #[cfg(not(feature = $feature))]
            pub(crate) trait $driver<'q, Row> {}
            #[cfg(not(feature = $feature))]
            impl<Row, S> $driver<'_, Row> for S {}
        };
    }

    runs_on!(Blocking, "mysql", diesel::query_dsl::LoadQuery<'q, diesel::MysqlConnection, Row>);
    runs_on!(
        Awaited,
        "async",
        diesel_async::methods::LoadQuery<'q, diesel_async::AsyncMysqlConnection, Row>
    );
}

/// Runs a statement about one named lock, keyed by its type or by its text.
macro_rules! keyed {
    ($name:expr, $text:expr, $form:expr, $statement:ident => $run:expr) => {
        match ($text.is_first(), $name.checked_database().is_some(), $name.is_shortened()) {
            (false, ..) => {
                let $statement = $crate::statement::named::ByText($form);
                $run
            }
            (_, false, false) => {
                let $statement = $crate::statement::named::ByType::<_, false, false>($form);
                $run
            }
            (_, false, true) => {
                let $statement = $crate::statement::named::ByType::<_, false, true>($form);
                $run
            }
            (_, true, false) => {
                let $statement = $crate::statement::named::ByType::<_, true, false>($form);
                $run
            }
            (_, true, true) => {
                let $statement = $crate::statement::named::ByType::<_, true, true>($form);
                $run
            }
        }
    };
}
use keyed;

/// Retires the text of a failed statement, so that it is never run from Diesel's cache again.
#[cfg(feature = "mysql")]
fn retire_failed<T>(text: Option<Text>, result: QueryResult<T>) -> QueryResult<T> {
    if let (Err(_), Some(text)) = (&result, text) {
        text.retire();
    }
    result
}

/// Runs what must not unwind any further yet.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(work))
}

/// Runs what must not unwind at all. The panic's payload is forgotten, since its destructor may
/// panic, too.
pub(crate) fn swallow_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_panic(work).map_err(std::mem::forget).ok()
}
