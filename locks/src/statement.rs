//! What to send to the server, and how to read its answer. Knows no connection.
//!
//! Only these files hold SQL.

pub(crate) mod fence;
pub(crate) mod inspect;
pub(crate) mod keep_alive;
pub(crate) mod named;
pub(crate) mod server;
pub(crate) mod tables;
mod text;
pub(crate) mod transaction;

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Unsigned};

pub(crate) use self::text::{Text, Texts};

/// A statement that the wire retires when it has failed.
pub(crate) trait Statement {
    /// The text of a statement that Diesel caches.
    #[cfg_attr(
        not(feature = "mysql"),
        expect(dead_code, reason = "the other driver runs it again")
    )]
    fn text(&self) -> Option<Text>;

    /// Returns whether its row has a number of the client's own, by which the caller recognizes it.
    #[cfg(feature = "async")]
    fn is_numbered(&self) -> bool {
        false
    }
}

/// Copies the number of the last error to where it can be read: this statement cannot be prepared,
/// and Diesel keeps no error number.
///
/// Both of these are sent alone, and not in one batch: if `KILL QUERY` strikes between two
/// statements of a batch, the servers stop there without an answer, and the client waits forever.
/// Measured on MySQL 9.7 and MariaDB 10.11.
pub(crate) const KEEP_ERROR_COUNT: &str = "GET DIAGNOSTICS @diesel_locks_errors = NUMBER";

/// The error comes first. (MariaDB adds 1329, "no data", to every `SELECT … INTO` that fails.)
pub(crate) const KEEP_ERROR: &str = "GET DIAGNOSTICS CONDITION 1 \
     @diesel_locks_error = MYSQL_ERRNO, @diesel_locks_state = RETURNED_SQLSTATE";

/// The number, if the last statement failed: `CONDITION 1` leaves the variables alone if there is
/// none.
pub(crate) const KEPT_ERROR: &str = "IF(@diesel_locks_errors = 0 \
     OR LEFT(@diesel_locks_state, 2) IN ('01', '02') OR @diesel_locks_error = 1287, \
     NULL, @diesel_locks_error)";

/// Makes a value the message of an error, which Diesel keeps. Unlike a query, this works where
/// nothing more can be prepared.
pub(crate) const SIGNAL: &str = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = @diesel_locks_signaled";

/// Goes before it, and makes it readable. A message cannot be NULL.
pub(crate) fn keep_signaled(expression: &str) -> String {
    format!(
        "SET @diesel_locks_signaled_results = @@character_set_results, \
         character_set_results = NULL, \
         @diesel_locks_signaled = COALESCE({expression}, '{SIGNALED_NULL}')"
    )
}

/// Goes after it; running it again changes nothing. The copy is separate from that of batches,
/// which change the variable, too.
pub(crate) const END_SIGNALED: &str = "SET character_set_results = \
     COALESCE(@diesel_locks_signaled_results, @@character_set_results), \
     @diesel_locks_signaled_results = NULL";

/// The message that stands for NULL.
pub(crate) const SIGNALED_NULL: &str = "NULL";

/// A batch that fails in its first statement, so that `KILL QUERY` cannot strike between the two:
/// there is no such savepoint. Not a `SIGNAL`, which MariaDB 10.11 refuses in UTF-16 and UTF-32.
pub(crate) const ANSWERED_BATCH: &str = "RELEASE SAVEPOINT diesel_locks_batch; DO 0";

/// What the server's message contains in every language, and no other message.
pub(crate) const ANSWER: &str = "diesel_locks_batch";

/// Does nothing, if the connection lives.
pub(crate) const NOTHING: &str = "DO 0";

/// The last resort: the server frees whatever a dead connection held.
pub(crate) const KILL_SELF: &str = "KILL CONNECTION_ID()";

macro_rules! cached_by_text {
    ($($statement:ty),* $(,)?) => {$(
        /// Cached by its text, if at all.
        impl diesel::query_builder::QueryId for $statement {
            type QueryId = ();
            const HAS_STATIC_QUERY_ID: bool = false;
        }
        impl<Conn> diesel::RunQueryDsl<Conn> for $statement {}
    )*};
}
use cached_by_text;

macro_rules! never_cached {
    ($($statement:ty),* $(,)?) => {
        $crate::statement::cached_by_text!($($statement),*);
        $(
            impl $crate::statement::Statement for $statement {
                fn text(&self) -> Option<$crate::statement::Text> {
                    None
                }
            }
        )*
    };
}
use never_cached;

/// A query for a number, which is never cached.
#[derive(Debug)]
pub(crate) struct Number<'e>(pub(crate) &'e str);

impl QueryFragment<Mysql> for Number<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.unsafe_to_cache_prepared();
        out.push_sql("SELECT CAST(");
        out.push_sql(self.0);
        out.push_sql(" AS UNSIGNED) LIMIT 1");
        Ok(())
    }
}

impl Query for Number<'_> {
    type SqlType = Nullable<Unsigned<BigInt>>;
}

never_cached!(Number<'_>);

/// How often the client's own number is bound.
#[cfg(feature = "async")]
const TIMES: usize = 13;

/// Returns the client's own number, which comes back in the row.
///
/// It is bound many times, so that hardly any statement of a program has as many parameters. After
/// a prepare that was cancelled, the driver (`mysql_async` 0.36) takes its answer for that of the
/// next prepare, and then runs the program's statement, an `UPDATE` for example, with the
/// parameters of this one, unless it finds that their number is wrong.
#[cfg(feature = "async")]
#[expect(clippy::trivially_copy_pass_by_ref, reason = "Diesel borrows what is bound")]
pub(crate) fn push_client_number<'b>(
    mut out: AstPass<'_, 'b, Mysql>,
    number: &'b u64,
) -> QueryResult<()> {
    for i in 0..TIMES {
        out.push_sql(if i == 0 { "CAST(" } else { " | CAST(" });
        out.push_bind_param::<Unsigned<BigInt>, _>(number)?;
        out.push_sql(" AS UNSIGNED)");
    }
    Ok(())
}

/// A query that returns the client's own number.
#[cfg(feature = "async")]
#[derive(Debug, diesel::query_builder::QueryId)]
pub(crate) struct Echo(pub(crate) u64);

#[cfg(feature = "async")]
impl QueryFragment<Mysql> for Echo {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        push_client_number(out.reborrow(), &self.0)?;
        out.push_sql(" LIMIT 1");
        Ok(())
    }
}

#[cfg(feature = "async")]
impl Query for Echo {
    type SqlType = Unsigned<BigInt>;
}

/// What Diesel takes for this statement, without its parameters.
#[cfg(feature = "async")]
#[derive(Debug)]
pub(crate) struct Mismatched<S>(std::marker::PhantomData<fn() -> S>);

#[cfg(feature = "async")]
impl<S> Mismatched<S> {
    pub(crate) fn new() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[cfg(feature = "async")]
impl<S: diesel::query_builder::QueryId> diesel::query_builder::QueryId for Mismatched<S> {
    type QueryId = S::QueryId;
    const HAS_STATIC_QUERY_ID: bool = S::HAS_STATIC_QUERY_ID;
}

#[cfg(feature = "async")]
impl<S> QueryFragment<Mysql> for Mismatched<S> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(NOTHING);
        Ok(())
    }
}
