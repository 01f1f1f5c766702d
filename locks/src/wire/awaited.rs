//! diesel-async's connection.
//!
//! Its driver (`mysql_async` 0.36) knows nothing of a statement whose future was dropped: the
//! answer stays in the stream, and the next request gets it. So every answer that grants something
//! carries a number of this client's own, which the request has sent along.
//!
//! A cached statement that has failed may be run again, unlike with the C client libraries.

mod close;

use std::hash::{BuildHasher as _, RandomState};
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use diesel::result::{Error as DieselError, QueryResult};
use diesel_async::{
    AnsiTransactionManager, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection,
    TransactionManager,
};

pub(crate) use self::close::close_at_once;
use self::close::refuse_closed;
use super::{Execute, Query, Wire, keyed};
use crate::error::Error;
use crate::statement::Echo;
use crate::statement::named::{Inspect, InspectRow, LockFunction, Numbered, NumberedInspect};

type Manager = AnsiTransactionManager;

impl Wire for AsyncMysqlConnection {
    /// A server that cannot be reached with `KILL QUERY` ends a wait by then, after its future was
    /// dropped.
    const LONGEST_WAIT: Duration = Duration::from_secs(60);

    type Step<'a, T: Send + 'a> = Pin<Box<dyn Future<Output = QueryResult<T>> + Send + 'a>>;

    fn call<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, bool> {
        Box::pin(async move { Ok(value(function, self).await? == Some(1)) })
    }

    fn value<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, Option<i64>> {
        Box::pin(value(function, self))
    }

    fn inspect<'a>(&'a mut self, inspect: &'a Inspect<'a>) -> Self::Step<'a, InspectRow> {
        Box::pin(async move {
            refuse_closed(self)?;
            let (name, text) = (inspect.name(), inspect.text());
            let number = next_number();
            let row: QueryResult<(u64, InspectRow)> = keyed!(name, text, NumberedInspect { inspect, number }, numbered => {
                RunQueryDsl::get_result(numbered, self).await
            });
            recognized(number, row, self)
        })
    }

    fn row<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Row> {
        Box::pin(async move {
            if query.is_numbered() {
                refuse_closed(self)?;
            } else {
                self.in_step().await?;
            }
            RunQueryDsl::get_result(query, self).await
        })
    }

    fn rows<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Vec<Row>> {
        Box::pin(async move {
            self.in_step().await?;
            RunQueryDsl::get_results(query, self).await
        })
    }

    fn execute<'a>(&'a mut self, statement: impl Execute + 'a) -> Self::Step<'a, usize> {
        Box::pin(async move {
            refuse_closed(self)?;
            RunQueryDsl::execute(statement, self).await
        })
    }

    fn in_step(&mut self) -> Self::Step<'_, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            let number = next_number();
            let row: QueryResult<(u64, ())> =
                RunQueryDsl::get_result::<u64>(Echo(number), self).await.map(|echo| (echo, ()));
            recognized(number, row, self)
        })
    }

    fn batch<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            self.batch_execute(sql).await
        })
    }

    fn begin<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            // Set by a cancelled `BEGIN`: Diesel's own check panics with debug assertions, and
            // wipes it without.
            if Manager::is_broken_transaction_manager(self) && matches!(self.depth(), Ok(0)) {
                return Err(DieselError::BrokenTransactionManager);
            }
            Manager::begin_transaction_sql(self, sql).await
        })
    }

    fn begin_nested(&mut self) -> Self::Step<'_, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            Manager::begin_transaction(self).await
        })
    }

    fn commit(&mut self) -> Self::Step<'_, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            Manager::commit_transaction(self).await
        })
    }

    fn roll_back(&mut self) -> Self::Step<'_, ()> {
        Box::pin(async move {
            refuse_closed(self)?;
            Manager::rollback_transaction(self).await
        })
    }

    fn depth(&mut self) -> QueryResult<u32> {
        let status = <Manager as TransactionManager<Self>>::transaction_manager_status_mut(self);
        Ok(status.transaction_depth()?.map_or(0, u32::from))
    }

    fn is_test_transaction(&mut self) -> bool {
        // A connection with an open transaction counts as broken, unless it is a test's.
        self.depth().is_ok_and(|depth| depth > 0)
            && !<Manager as TransactionManager<Self>>::is_broken_transaction_manager(self)
    }

    fn forget_transactions(&mut self) {
        #[expect(clippy::default_trait_access, reason = "Diesel does not export the type's name")]
        let none_open = Default::default();
        *<Manager as TransactionManager<Self>>::transaction_manager_status_mut(self) = none_open;
    }

    fn mark_broken(&mut self) {
        <Manager as TransactionManager<Self>>::transaction_manager_status_mut(self).set_in_error();
    }
}

async fn value<S: LockFunction>(
    function: &S,
    conn: &mut AsyncMysqlConnection,
) -> QueryResult<Option<i64>> {
    refuse_closed(conn)?;
    let (name, text) = (function.name(), function.text());
    let number = next_number();
    let row: QueryResult<(u64, Option<i64>)> = keyed!(name, text, Numbered { function, number }, numbered => {
        RunQueryDsl::get_result(numbered, conn).await
    });
    recognized(number, row, conn)
}

/// Returns a number that no earlier statement can have returned, other than by accident.
fn next_number() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static ISSUED: AtomicU64 = AtomicU64::new(0);
    let first = *FIRST.get_or_init(|| RandomState::new().hash_one(()));
    first.wrapping_add(ISSUED.fetch_add(1, Ordering::Relaxed))
}

/// Returns the answer, if it is that of the statement with this number. Otherwise the connection
/// has given the answer to an earlier statement, and is of no use any more.
fn recognized<T>(
    number: u64,
    answer: QueryResult<(u64, T)>,
    conn: &mut AsyncMysqlConnection,
) -> QueryResult<T> {
    match answer {
        Ok((echo, answer)) if echo == number => return Ok(answer),
        // These statements always return a row.
        Ok(_) | Err(DieselError::NotFound | DieselError::DeserializationError(_)) => {}
        Err(error) => return Err(error),
    }
    close_at_once(conn);
    let reason = "a query was cancelled on this connection, and its answer came now: use a \
                  connection only as long as no query was cancelled on it";
    Err(Error::ConnectionLost(DieselError::QueryBuilderError(reason.into())).into())
}
