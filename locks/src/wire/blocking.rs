//! Diesel's own connection.

use std::future::{Ready, ready};
use std::panic::resume_unwind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use diesel::connection::{
    AnsiTransactionManager, Connection, DefaultLoadingMode, InstrumentationEvent, SimpleConnection,
    TransactionManager,
};
use diesel::mysql::MysqlConnection;
use diesel::query_dsl::LoadQuery;
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};

use super::{Execute, Query, Wire, catch_panic, keyed, retire_failed, swallow_panic};
use crate::statement::KILL_SELF;
use crate::statement::named::{Counted, Inspect, InspectRow, LockFunction, Valued};

type Manager = AnsiTransactionManager;

/// Runs a conversation to its end.
pub(crate) fn now<T>(conversation: impl Future<Output = T>) -> T {
    match pin!(conversation).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(end) => end,
        Poll::Pending => unreachable!("every step of a blocking connection is ready at once"),
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

/// Closes the connection at the server, so that it frees what it holds, and marks it as unusable.
/// The connection's instrumentation is taken off first, since it may be what panics.
fn abandon(conn: &mut MysqlConnection) {
    swallow_panic(|| conn.set_instrumentation(|_: InstrumentationEvent<'_>| {}));
    let _ = swallow_panic(|| conn.batch_execute(KILL_SELF));
    conn.mark_broken();
}

/// Runs a query, and reads its rows only if there are any: if Diesel asks for a row after an error
/// that it has not seen, MariaDB's client library (3.3) calls a function that is not there. Every
/// query returns a row.
fn load<'q, Row: 'q>(
    query: impl LoadQuery<'q, MysqlConnection, Row> + 'q,
    conn: &'q mut MysqlConnection,
) -> QueryResult<impl Iterator<Item = QueryResult<Row>>> {
    let rows = query.load_iter::<Row, DefaultLoadingMode>(conn)?;
    if rows.size_hint().0 == 0 { Err(hidden_error()) } else { Ok(rows) }
}

/// The last of the rows. They are read to their end, where an error may be.
fn load_one<'q, Row: 'q>(
    query: impl LoadQuery<'q, MysqlConnection, Row> + 'q,
    conn: &'q mut MysqlConnection,
) -> QueryResult<Row> {
    load(query, conn)?.reduce(|_, row| row).ok_or_else(hidden_error)?
}

/// Returns an error that Diesel does not see: in UTF-16 and UTF-32 (`character_set_results`) its
/// message begins with a zero byte, and Diesel (2.3) takes that for no message, and no message for
/// no error.
fn hidden_error() -> DieselError {
    let message = "the server reported an error that cannot be read in the session's \
                   `character_set_results`";
    DieselError::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()))
}

impl Wire for MysqlConnection {
    const LONGEST_WAIT: Duration = Duration::MAX;

    type Step<'a, T: Send + 'a> = Ready<QueryResult<T>>;

    fn call<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, bool> {
        let (name, text) = (function.name(), function.text());
        let rows =
            keyed!(name, text, Counted(function), counted => ExecuteDsl::execute(counted, self));
        let was_called = rows.and_then(|rows| match rows {
            0 | 1 => Ok(rows == 1),
            // What the client libraries say after an error.
            _ => Err(hidden_error()),
        });
        ready(retire_failed(Some(text), was_called))
    }

    fn value<'a, S: LockFunction>(&'a mut self, function: &'a S) -> Self::Step<'a, Option<i64>> {
        let (name, text) = (function.name(), function.text());
        let value = keyed!(name, text, Valued(function), valued => load_one(valued, self));
        ready(retire_failed(Some(text), value))
    }

    fn inspect<'a>(&'a mut self, inspect: &'a Inspect<'a>) -> Self::Step<'a, InspectRow> {
        let (name, text) = (inspect.name(), inspect.text());
        let row = keyed!(name, text, inspect, inspect => load_one(inspect, self));
        ready(retire_failed(Some(text), row))
    }

    fn row<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Row> {
        let text = query.text();
        ready(retire_failed(text, load_one(query, self)))
    }

    fn rows<'a, Row: Send + 'static>(
        &'a mut self,
        query: impl Query<'a, Row>,
    ) -> Self::Step<'a, Vec<Row>> {
        let text = query.text();
        let rows = load(query, self).and_then(Iterator::collect);
        ready(retire_failed(text, rows))
    }

    fn execute<'a>(&'a mut self, statement: impl Execute + 'a) -> Self::Step<'a, usize> {
        let text = statement.text();
        let rows = ExecuteDsl::execute(statement, self);
        let rows = rows.and_then(|rows| match rows {
            // What the client libraries say after an error.
            usize::MAX => Err(hidden_error()),
            rows => Ok(rows),
        });
        ready(retire_failed(text, rows))
    }

    fn in_step(&mut self) -> Self::Step<'_, ()> {
        ready(Ok(()))
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
