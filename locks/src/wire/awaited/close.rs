//! Closes diesel-async's connection without waiting.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use diesel::connection::{CacheSize, Instrumentation, InstrumentationEvent};
use diesel::mysql::Mysql;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::result::{Error as DieselError, QueryResult};
use diesel_async::{
    AsyncConnection, AsyncConnectionCore as _, AsyncMysqlConnection, SimpleAsyncConnection,
};

use super::super::{Wire, swallow_panic};
use crate::error::Error;
use crate::statement::named::{Acquire, ByType, Numbered, NumberedInspect, Release};
use crate::statement::{Echo, KILL_SELF, Mismatched};

/// Closes the connection, and waits for nothing. No later use of it gets an answer that was meant
/// for an earlier one.
///
/// First, the server is asked to close it: the first poll writes the request, whatever the state of
/// the connection. Behind a statement that is running, the server obeys when that has ended.
/// Measured over TCP, a unix socket and TLS, on both of tokio's runtimes and without one.
///
/// Then the client's end is closed, if it can be, see [`hang_up`].
pub(crate) fn close_at_once(conn: &mut AsyncMysqlConnection) {
    conn.mark_broken();
    // The caller's instrumentation may be what panics.
    swallow_panic(|| conn.set_instrumentation(|_: InstrumentationEvent<'_>| {}));
    swallow_panic(|| poll_once(conn.batch_execute(KILL_SELF)).is_ready());
    if swallow_panic(|| hang_up(conn)) != Some(true) {
        // Once more, since the first one may be struck by the `KILL QUERY` that ends what is
        // running.
        swallow_panic(|| poll_once(conn.batch_execute(KILL_SELF)).is_ready());
        // What is prepared first cannot be answered by the answer to another statement.
        conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        conn.set_instrumentation(Closed);
    }
}

/// Fails if the connection was closed by [`close_at_once`].
pub(super) fn refuse_closed(conn: &mut AsyncMysqlConnection) -> QueryResult<()> {
    if conn.instrumentation().as_any().is::<Closed>() {
        let reason = "the connection was closed, because an earlier call on it was cancelled";
        return Err(Error::ConnectionLost(DieselError::QueryBuilderError(reason.into())).into());
    }
    Ok(())
}

/// Stands where a connection is closed for the server, but not for the driver: that would take the
/// answer to a cancelled call for the answer to the next query. Diesel has nothing else that runs
/// before a query.
struct Closed;

impl Instrumentation for Closed {
    fn on_connection_event(&mut self, _: InstrumentationEvent<'_>) {
        panic!(
            "this connection was closed, because a call of diesel-locks was cancelled on it: do not \
             use it again"
        );
    }
}

/// Makes the driver drop its socket, and returns whether it did.
///
/// The driver (`mysql_async` 0.36) does so after any error that it raises itself. One of them needs
/// no answer: a prepared statement with too few parameters. So this looks for a statement of this
/// library that Diesel has cached, by its type.
fn hang_up(conn: &mut AsyncMysqlConnection) -> bool {
    type AnyAcquire = Numbered<'static, Acquire<'static>>;
    type AnyRelease = Numbered<'static, Release<'static>>;
    type AnyInspect = NumberedInspect<'static>;

    macro_rules! any_of {
        ($($Statement:ty),*) => {
            $(misuse::<ByType<$Statement, false, false>>(conn)
                || misuse::<ByType<$Statement, false, true>>(conn)
                || misuse::<ByType<$Statement, true, false>>(conn)
                || misuse::<ByType<$Statement, true, true>>(conn))||*
        };
    }
    misuse::<Echo>(conn) || any_of!(AnyAcquire, AnyRelease, AnyInspect)
}

/// Runs a cached statement without its parameters. Does nothing if it is not cached.
fn misuse<S: QueryId>(conn: &mut AsyncMysqlConnection) -> bool
where
    Mismatched<S>: QueryFragment<Mysql> + QueryId + Send,
{
    let prepares = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&prepares);
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if matches!(event, InstrumentationEvent::CacheQuery { .. }) {
            seen.store(true, Ordering::Relaxed);
        }
    });
    // The first poll may have to wait where it closes an earlier statement.
    (0..2).any(|_| {
        let polled = poll_once(conn.execute_returning_count(Mismatched::<S>::new()));
        matches!(polled, Poll::Ready(Err(_))) && !prepares.load(Ordering::Relaxed)
    })
}

/// Polls it even if the task has used up its budget.
fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    let future = pin!(tokio::task::coop::unconstrained(future));
    future.poll(&mut Context::from_waker(Waker::noop()))
}
