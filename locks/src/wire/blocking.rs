//! Diesel's own connection.

use std::any::Any;
use std::future::{Ready, ready};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use diesel::connection::{
    AnsiTransactionManager, Connection, DefaultLoadingMode, InstrumentationEvent, SimpleConnection,
    TransactionManager,
};
use diesel::mysql::MysqlConnection;
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::result::QueryResult;

use super::{Execute, Query, Wire, hidden_error};
use crate::statement::named::{ByText, ByType, LockFunction};
use crate::statement::{KILL_SELF, Text};

type Manager = AnsiTransactionManager;

/// Runs a conversation to its end.
pub(crate) fn now<T>(conversation: impl Future<Output = T>) -> T {
    match pin!(conversation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(end) => end,
        Poll::Pending => unreachable!("every step of a connection that blocks is ready at once"),
    }
}

/// Does what may leave something held. If it panics, the connection is closed before the panic goes
/// on: Diesel's instrumentation or a `tracing` subscriber may panic after the server has granted a
/// lock.
pub(crate) fn abandon_on_panic<T>(
    conn: &mut MysqlConnection,
    work: impl FnOnce(&mut MysqlConnection) -> T,
) -> T {
    catch_panic(|| work(conn)).unwrap_or_else(|panic| {
        abandon(conn);
        resume_unwind(panic)
    })
}

/// Runs what must not unwind any further yet.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(work))
}

/// Runs what must not unwind at all. The panic's payload is forgotten, since its destructor may panic,
/// too.
pub(crate) fn swallow_panic<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_panic(work).map_err(std::mem::forget).ok()
}

/// Closes the connection at the server, so that it frees what it holds, and marks it as unusable.
/// The connection's instrumentation is taken off first, since it may be what panics.
fn abandon(conn: &mut MysqlConnection) {
    swallow_panic(|| conn.set_instrumentation(|_: InstrumentationEvent<'_>| {}));
    let _ = swallow_panic(|| conn.batch_execute(KILL_SELF));
    conn.mark_broken();
}

/// Runs a query, and reads its rows only if there are any: if Diesel asks for a row after an error
/// that it has not seen, MariaDB's client library (3.3) calls a function that is not there.
fn load<'q, Row, Q: Query<'q, Row>>(query: Q, conn: &mut MysqlConnection) -> QueryResult<Vec<Row>> {
    let rows = query.load_iter::<Row, DefaultLoadingMode>(conn)?;
    if rows.size_hint().0 == 0 { Ok(Vec::new()) } else { rows.collect() }
}

/// Retires the text of a failed statement, so that it is never run from Diesel's cache again.
fn retire_failed<T>(text: Option<Text>, result: QueryResult<T>) -> QueryResult<T> {
    if let (Err(_), Some(text)) = (&result, text) {
        text.retire();
    }
    result
}

impl Wire for MysqlConnection {
    type Step<'a, T: 'a> = Ready<QueryResult<T>>;

    fn call<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, bool> {
        let name = function.name();
        let by_type = function.text().is_first();
        let rows = match (by_type, name.checked_database().is_some(), name.is_shortened()) {
            (false, ..) => ExecuteDsl::execute(ByText(function), self),
            (_, false, false) => ExecuteDsl::execute(ByType::<_, false, false>(function), self),
            (_, false, true) => ExecuteDsl::execute(ByType::<_, false, true>(function), self),
            (_, true, false) => ExecuteDsl::execute(ByType::<_, true, false>(function), self),
            (_, true, true) => ExecuteDsl::execute(ByType::<_, true, true>(function), self),
        };
        let was_called = rows.and_then(|rows| match rows {
            0 | 1 => Ok(rows == 1),
            // What the client libraries say after an error.
            _ => Err(hidden_error()),
        });
        ready(retire_failed(Some(function.text()), was_called))
    }

    fn row<'a, Row: 'a, Q: Query<'a, Row>>(&'a mut self, query: Q) -> Self::Step<'a, Row> {
        let text = query.text();
        let row =
            load(query, self).and_then(|rows| rows.into_iter().next().ok_or_else(hidden_error));
        ready(retire_failed(text, row))
    }

    fn rows<'a, Row: 'a, Q: Query<'a, Row>>(&'a mut self, query: Q) -> Self::Step<'a, Vec<Row>> {
        let text = query.text();
        let rows = load(query, self)
            .and_then(|rows| if rows.is_empty() { Err(hidden_error()) } else { Ok(rows) });
        ready(retire_failed(text, rows))
    }

    fn execute<'a, S: Execute + 'a>(&'a mut self, statement: S) -> Self::Step<'a, usize> {
        let text = statement.text();
        let rows = ExecuteDsl::execute(statement, self);
        let rows = rows.and_then(|rows| match rows {
            // What the client libraries say after an error.
            usize::MAX => Err(hidden_error()),
            rows => Ok(rows),
        });
        ready(retire_failed(text, rows))
    }

    fn batch<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()> {
        ready(self.batch_execute(sql))
    }

    fn begin<'a>(&'a mut self, sql: &'a str) -> Self::Step<'a, ()> {
        ready(Manager::begin_transaction_sql(self, sql))
    }

    fn begin_nested(&mut self) -> Self::Step<'_, ()> {
        ready(Manager::begin_transaction(self))
    }

    fn commit(&mut self) -> Self::Step<'_, ()> {
        ready(Manager::commit_transaction(self))
    }

    fn roll_back(&mut self) -> Self::Step<'_, ()> {
        ready(Manager::rollback_transaction(self))
    }

    fn depth(&mut self) -> QueryResult<u32> {
        let status = <Manager as TransactionManager<Self>>::transaction_manager_status_mut(self);
        Ok(status.transaction_depth()?.map_or(0, u32::from))
    }

    fn is_test_transaction(&mut self) -> bool {
        // Diesel calls a connection with an open transaction broken, unless it is a test's.
        self.depth().is_ok_and(|depth| depth > 0)
            && !<Manager as TransactionManager<Self>>::is_broken_transaction_manager(self)
    }

    fn forget_transactions(&mut self) {
        #[expect(clippy::default_trait_access, reason = "Diesel does not export the type's name")]
        let none_open = Default::default();
        *Manager::transaction_manager_status_mut(self) = none_open;
    }

    fn mark_broken(&mut self) {
        Manager::transaction_manager_status_mut(self).set_in_error();
    }
}
