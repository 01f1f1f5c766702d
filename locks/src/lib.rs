//! Named locks and table locks of MySQL and MariaDB, for Diesel.
//!
//! - [`Lock`] is a named lock: a mutex that all clients of one database server share.
//! - [`TableLock`] keeps every other connection off some tables, while one repairs them in a
//!   transaction. Tables are named by their models: [`LockableTable`].
//!
//! Both are descriptions, and lock nothing until they are acquired. Both work the same on either
//! server; where they cannot, their documentation says so.
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
//!     // Waits for ten seconds at most, and releases the lock whatever happens.
//!     NIGHTLY.with(conn, |conn| diesel::sql_query("CALL build_report()").execute(conn))
//! }
//!
//! fn pay(conn: &mut MysqlConnection, id: i32) -> Result<(), diesel_locks::Error> {
//!     // The guard stands for the connection.
//!     let mut guard = Lock::new(&format!("invoice-{id}"))
//!         .timeout(Duration::from_millis(250))
//!         .acquire(conn)?;
//!     diesel::sql_query("CALL pay_invoice()").execute(&mut *guard)?;
//!     guard.release()?; // or drop it; this tells if the lock was lost meanwhile
//!     Ok(())
//! }
//! ```
//!
//! [`Lock::try_with`] does not wait. [`Lock::transaction`] holds the lock until its transaction is
//! committed. [`Lock::acquire_owned`] takes a pooled connection, for guards that are moved into a
//! thread.
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
//! # Errors
//!
//! [`Error`] has a variant for each thing that a caller handles differently. It converts into
//! [`diesel::result::Error`] and back without a loss, so that bodies may return
//! [`QueryResult`](diesel::QueryResult).
//!
//! # Clusters
//!
//! Each node of a Galera or Group Replication cluster has locks of its own: connect all that use a
//! lock to the same node.
//!
//! # Features
//!
//! - `mysql` (default): Diesel's connection, which links to the system's client library. Without it
//!   there are only [`LockableTable`] and [`Error`].
//! - `bundled`: builds that library from source instead.
//! - `tracing`: a span for each acquire, at the level DEBUG, with the lock, the limit, how long it waited
//!   and what came of it; and an event, at the level WARN, for a release that failed while its guard
//!   was dropped. Without the feature there is no such dependency, and nothing is printed in either case.

#[cfg(feature = "mysql")]
mod connection;
mod error;
#[cfg(feature = "mysql")]
mod lock;
#[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "only a connection locks tables"))]
mod lockable;
#[cfg(feature = "mysql")]
mod name;
#[cfg(feature = "mysql")]
mod process;
#[cfg(feature = "mysql")]
mod scope;
#[cfg(feature = "mysql")]
mod server;
#[cfg(feature = "mysql")]
mod server_error;
#[cfg(feature = "mysql")]
mod statement;
#[cfg(feature = "mysql")]
mod table_lock;
#[cfg(feature = "mysql")]
mod timeout;
#[cfg(feature = "mysql")]
mod trace;
#[cfg(feature = "mysql")]
mod transaction;
#[cfg(feature = "mysql")]
mod wire;

#[doc(hidden)]
pub mod __private;

pub use diesel_locks_derive::LockableTable;
#[cfg(feature = "mysql")]
pub use diesel_locks_derive::{with_lock, with_table_lock};

#[cfg(feature = "mysql")]
pub use crate::connection::{GuardedConnection, LockConnection};
pub use crate::error::{AcquireOwnedError, Error, OpenTransaction};
#[cfg(feature = "mysql")]
pub use crate::lock::{Holder, Lock, LockGuard, Waiter};
pub use crate::lockable::{LockableTable, Parents, TableName};
#[cfg(feature = "mysql")]
pub use crate::process::Process;
#[cfg(feature = "mysql")]
pub use crate::server::{
    BinlogFormat, Flavor, GroupReplication, LockListing, NameLimit, Server, Warning,
};
#[cfg(feature = "mysql")]
pub use crate::table_lock::{Blocker, TableLock, TableLockGuard};
