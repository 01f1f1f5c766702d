//! Named locks and table locks of MySQL and MariaDB, for Diesel.
//!
//! - [`Lock`] is a named lock: a mutex shared by every client of a database server.
//! - [`TableLock`] keeps every other connection off some tables while you repair them in one
//!   transaction. Tables are named by their models: [`LockableTable`].
//! - [`with_lock`] and [`with_table_lock`] run whole functions under a lock.
//!
//! A [`Lock`] or [`TableLock`] is only a description: nothing is locked until it is acquired. Both
//! work the same on either server; where they cannot, their documentation says so.
//!
//! # Named locks
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use diesel::prelude::*;
//! use diesel_locks::Lock;
//!
//! static NIGHTLY: Lock = Lock::new("nightly-report");
//!
//! fn nightly(conn: &mut MysqlConnection) -> QueryResult<usize> {
//!     // Waits up to ten seconds, and always releases the lock.
//!     NIGHTLY.with(conn, |conn| diesel::sql_query("CALL build_report()").execute(conn))
//! }
//!
//! fn pay(conn: &mut MysqlConnection, id: i32) -> Result<(), diesel_locks::Error> {
//!     // The guard dereferences to the connection.
//!     let mut guard = Lock::new(&format!("invoice-{id}"))
//!         .timeout(Duration::from_millis(250))
//!         .acquire(conn)?;
//!     diesel::sql_query("CALL pay_invoice()").execute(&mut *guard)?;
//!     guard.release()?; // or drop it; this reports a lock that was lost before
//!     Ok(())
//! }
//! ```
//!
//! [`Lock::try_with`] does not wait. [`Lock::transaction`] holds the lock until its transaction is
//! committed. [`Lock::acquire_owned`] takes a pooled connection, for guards that are moved into a
//! thread. [`Lock::all`] describes several locks that are acquired together, in an order that
//! prevents deadlocks.
//!
//! A lock can be lost while its holder works. [`Lock::fenced`] draws a fencing token, and its
//! transactions commit only if no later holder has begun. [`LockGuard::keep_alive`] keeps a lock on
//! an idle connection, and learns of its loss.
//!
//! # Table locks
//!
//! ```no_run
//! use diesel::prelude::*;
//! use diesel_locks::{LockableTable, TableLock};
//!
//! diesel::table! { places (id) { id -> Integer, } }
//! diesel::table! { restaurants (place_id) { place_id -> Integer, stars -> Integer, } }
//! diesel::table! { reviews (id) { id -> Integer, } }
//!
//! #[derive(LockableTable)]
//! struct Place;
//!
//! #[derive(LockableTable)]
//! #[lockable(parents(Place))] // a restaurant is a place, and is locked with its table
//! struct Restaurant;
//!
//! fn repair(conn: &mut MysqlConnection) -> QueryResult<usize> {
//!     // Commits on success, rolls back on an error or a panic, and always unlocks.
//!     TableLock::new().read::<reviews::table>().write::<Restaurant>().with(conn, |conn| {
//!         diesel::update(restaurants::table).set(restaurants::stars.eq(0)).execute(conn)
//!     })
//! }
//! ```
//!
//! A body that ends its transaction itself, for example with `CREATE TABLE`, gets
//! [`Error::TransactionEnded`], and nothing more is committed. The same holds for
//! [`Lock::transaction`].
//!
//! # Connections
//!
//! Every call takes any [`LockConnection`]: Diesel's `MysqlConnection`, a pooled one (with the
//! feature `r2d2`), or a wrapper that implements the trait. The body gets the connection that was
//! passed, under its own type.
//!
//! # Errors
//!
//! [`Error`] has one variant for each condition a caller may want to handle differently. Closures
//! and functions may return any error type that implements `From<diesel::result::Error>`, the same
//! as for Diesel's own transactions; [`Error::find`] finds the lock's error in it.
//!
//! # Inspection
//!
//! [`Lock::holder`], [`Lock::waiters`], [`Lock::held_with_prefix`] and [`TableLock::blockers`] list
//! the connections that hold locks or wait for them. [`Server::inspect`] describes the server, and
//! warns about settings that make locks unsafe.
//!
//! # Test transactions
//!
//! In one of Diesel's test transactions, [`Lock::transaction`] is a savepoint, and table locks and
//! fenced locks are refused.
//!
//! # Clusters
//!
//! Each node of a Galera or Group Replication cluster has its own locks: connect all clients that
//! use a lock to the same node.
//!
//! # Features
//!
//! - `mysql` (default): Diesel's connection, which links to the system's client library. Without it
//!   there are only [`LockableTable`] and [`Error`].
//! - `bundled`: builds Oracle's client library from source instead. Its license is the GPL 2.0,
//!   which then also concerns the program that it is linked into.
//! - `r2d2`: locks on the connections of Diesel's r2d2 pools.
//! - `tracing`: a DEBUG span for each acquire, with the lock, the timeout, how long it waited and
//!   how it ended; and a WARN event for a lock that was not held to its end if no caller gets that
//!   error. Without the feature nothing of this is compiled in.

#[cfg(feature = "async")]
pub mod aio;
#[cfg(feature = "mysql")]
mod connection;
mod error;
#[cfg(any(feature = "async", feature = "mysql"))]
mod lock;
#[cfg_attr(
    not(any(feature = "async", feature = "mysql")),
    expect(dead_code, reason = "only a connection locks tables")
)]
mod lockable;
#[cfg(any(feature = "async", feature = "mysql"))]
mod name;
#[cfg(any(feature = "async", feature = "mysql"))]
mod process;
#[cfg(any(feature = "async", feature = "mysql"))]
mod scope;
#[cfg(any(feature = "async", feature = "mysql"))]
mod server;
#[cfg(any(feature = "async", feature = "mysql"))]
mod server_error;
#[cfg(any(feature = "async", feature = "mysql"))]
mod statement;
#[cfg(any(feature = "async", feature = "mysql"))]
mod table_lock;
#[cfg(any(feature = "async", feature = "mysql"))]
mod timeout;
#[cfg(any(feature = "async", feature = "mysql"))]
mod trace;
#[cfg(any(feature = "async", feature = "mysql"))]
mod transaction;
#[cfg(any(feature = "async", feature = "mysql"))]
mod wire;

#[doc(hidden)]
pub mod __private;

pub use diesel_locks_derive::LockableTable;
#[cfg(any(feature = "async", feature = "mysql"))]
pub use diesel_locks_derive::{with_lock, with_table_lock};

#[cfg(feature = "mysql")]
pub use crate::connection::{GuardedConnection, LockConnection};
pub use crate::error::{AcquireOwnedError, Error, FromDieselError, OpenTransaction};
#[cfg(any(feature = "async", feature = "mysql"))]
pub use crate::lock::{Holder, Lock, LockSet, Waiter};
#[cfg(feature = "mysql")]
pub use crate::lock::{KeptLock, LockGuard};
pub use crate::lockable::{LockableTable, Parents, TableName};
#[cfg(any(feature = "async", feature = "mysql"))]
pub use crate::process::Process;
#[cfg(any(feature = "async", feature = "mysql"))]
pub use crate::server::{
    BinlogFormat, Flavor, GroupReplication, LockListing, NameLimit, Server, Warning,
};
#[cfg(feature = "mysql")]
pub use crate::table_lock::TableLockGuard;
#[cfg(any(feature = "async", feature = "mysql"))]
pub use crate::table_lock::{Blocker, TableLock};
