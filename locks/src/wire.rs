//! One request to the server and its answer, on a connection that blocks.
//!
//! The conversations with the server are written as `async fn`s over [`Wire`], once for every
//! driver. On a connection that blocks each step is ready at once, and a conversation is polled a
//! single time.

mod blocking;

use diesel::mysql::{Mysql, MysqlConnection};
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::query_dsl::LoadQuery;
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};

pub(crate) use self::blocking::{abandon_on_panic, catch_panic, now, swallow_panic};
use crate::statement::Statement;
use crate::statement::named::LockFunction;

/// A connection, as the conversations use it.
pub(crate) trait Wire {
    /// One request, and its answer.
    type Step<'a, T: 'a>: Future<Output = QueryResult<T>>
    where
        Self: 'a;

    /// Runs a lock function: whether it returned 1.
    fn call<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, bool>;

    /// Runs a query that returns one row.
    fn row<'a, Row: 'a, Q: Query<'a, Row>>(&'a mut self, query: Q) -> Self::Step<'a, Row>;

    /// Runs a query that returns at least one row: none is an error that Diesel has not seen.
    fn rows<'a, Row: 'a, Q: Query<'a, Row>>(&'a mut self, query: Q) -> Self::Step<'a, Vec<Row>>;

    /// Runs a statement that returns no rows: how many it has written, counted as the server does.
    fn execute<'a, S: Execute + 'a>(&'a mut self, statement: S) -> Self::Step<'a, usize>;

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

    /// How many transactions are open as far as Diesel knows, savepoints included.
    fn depth(&mut self) -> QueryResult<u32>;

    /// Whether the open transaction is one of Diesel's test transactions.
    fn is_test_transaction(&mut self) -> bool;

    /// Makes Diesel know that no transaction is open.
    fn forget_transactions(&mut self);

    /// Marks the connection as unusable, so that a pool discards it.
    fn mark_broken(&mut self);
}

/// A statement that returns rows.
pub(crate) trait Query<'q, Row>:
    Statement + QueryFragment<Mysql> + QueryId + LoadQuery<'q, MysqlConnection, Row>
{
}

impl<'q, Row, S> Query<'q, Row> for S where
    S: Statement + QueryFragment<Mysql> + QueryId + LoadQuery<'q, MysqlConnection, Row>
{
}

/// A statement that returns no rows.
pub(crate) trait Execute: Statement + QueryFragment<Mysql> + QueryId {}

impl<S: Statement + QueryFragment<Mysql> + QueryId> Execute for S {}

/// An error that Diesel does not see: in UTF-16 and UTF-32 (`character_set_results`) its message begins
/// with a zero byte, and Diesel (2.3) takes that for no message, and no message for no error.
pub(crate) fn hidden_error() -> DieselError {
    let message = "the server reported an error that cannot be read in the session's \
                   `character_set_results`";
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
}
