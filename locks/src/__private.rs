//! All that the macros may name. Not part of the API.

#[cfg(feature = "mysql")]
mod attributes;
#[cfg(feature = "mysql")]
mod limit;

#[cfg(feature = "mysql")]
pub use self::attributes::{
    Fallible, Held, Ran, acquire, acquire_and_begin, connection, finish, lock_tables, run,
};
#[cfg(feature = "mysql")]
pub use self::limit::{Limit, timeout};
pub use crate::lockable::{LockableTable, Parents};
#[cfg(feature = "mysql")]
pub use crate::{Lock, TableLock};
