//! The same locks for diesel-async: [`Lock`] and [`TableLock`] on an [`AsyncMysqlConnection`].
//!
//! ```no_run
//! use diesel::prelude::*;
//! use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
//! use diesel_locks::aio::Lock;
//!
//! static NIGHTLY: Lock = Lock::new("nightly-report");
//!
//! async fn nightly(conn: &mut AsyncMysqlConnection) -> QueryResult<usize> {
//!     NIGHTLY
//!         .with(conn, async |conn| diesel::sql_query("CALL build_report()").execute(conn).await)
//!         .await
//! }
//! ```
//!
//! Every call takes an `&mut AsyncMysqlConnection`. A pooled connection of bb8 or deadpool, or any
//! other pointer to one, is passed as `&mut conn`. [`Lock::acquire_owned`] takes the pooled
//! connection itself, or a `Box`.
//!
//! # Cancellation
//!
//! **A call whose future is dropped, and a guard that is dropped, close the connection.** The
//! server then releases everything that the connection held, in a few milliseconds. Nothing else
//! would be safe: a destructor cannot wait for an answer, and the driver would give an unread
//! answer to the next query. `with`, `transaction`, the attributes, and the guards' `release` do
//! not close it.
//!
//! Four things are done for it, none of which waits:
//!
//! - The connection is marked as broken, so that bb8 drops it at once and deadpool when it would be
//!   used again.
//! - `KILL CONNECTION_ID()` is written to the socket, for a connection that someone keeps.
//! - The driver's end of the socket is closed, so that later queries fail. Where that cannot be
//!   done, because none of this library's statements was prepared on the connection yet, its next
//!   query panics: the driver would return the answer to the cancelled call.
//! - `KILL QUERY` is sent over another connection, by a task of the tokio runtime, until the server
//!   has closed the first one: a server that runs a statement, or waits for a lock, reads nothing
//!   else. It ends the body's own query, too. If the server cannot be reached that way, the
//!   statement runs to its end, a wait for a named lock or a fencing token ends after 60 seconds,
//!   and one for tables at its timeout.
//!
//! A query of yours that was cancelled earlier leaves its answer in the stream, too. The next call
//! on that connection notices it: it closes the connection and returns [`Error::ConnectionLost`].
//!
//! # Costs
//!
//! Acquiring and releasing a named lock takes one round trip each, a table lock two and two, and
//! [`Lock::transaction`] five.

pub(crate) mod doomed;
mod guard;
mod keep_alive;
mod lock;
mod lock_set;
mod table_lock;

use diesel_async::AsyncMysqlConnection;

use self::doomed::Doomed;
pub use self::guard::{LockGuard, TableLockGuard};
pub use self::keep_alive::KeptLock;
pub use self::lock::Lock;
pub use self::lock_set::LockSet;
pub use self::table_lock::TableLock;
use crate::error::Error;
use crate::server::Server;

/// Inspects the server: the same as [`Server::inspect`] of a blocking connection.
///
/// Two round trips.
///
/// # Errors
///
/// [`Error::Interrupted`], [`Error::ConnectionLost`], [`Error::Unsupported`] or [`Error::Diesel`].
pub async fn inspect_server(conn: &mut AsyncMysqlConnection) -> Result<Server, Error> {
    let mut conn = Doomed::new(conn);
    let variables = crate::server::inspect::inspect(&mut *conn).await;
    conn.spare();
    variables.map(|variables| variables.server())
}
