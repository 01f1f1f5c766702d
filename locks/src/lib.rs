//! Named locks and table locks of MySQL and MariaDB, for Diesel.

#[cfg(feature = "mysql")]
mod connection;
mod error;
#[cfg(feature = "mysql")]
mod fault;
#[cfg(feature = "mysql")]
mod lock;
#[cfg_attr(not(feature = "mysql"), expect(dead_code, reason = "only a connection locks tables"))]
mod lockable;
#[cfg(feature = "mysql")]
mod name;
#[cfg(feature = "mysql")]
mod statement;
#[cfg(feature = "mysql")]
mod table_lock;
#[cfg(feature = "mysql")]
mod timeout;
#[cfg(feature = "mysql")]
mod transaction;

#[doc(hidden)]
pub mod __private;

pub use diesel_locks_derive::LockableTable;

pub use crate::error::{AcquireOwnedError, Error};
#[cfg(feature = "mysql")]
pub use crate::lock::{Lock, LockGuard};
pub use crate::lockable::{LockableTable, Parents, TableName};
#[cfg(feature = "mysql")]
pub use crate::table_lock::{TableLock, TableLockGuard};
