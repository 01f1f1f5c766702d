//! All that the macros may name. Not part of the API.

#[cfg(feature = "mysql")]
mod attributes;
#[cfg(feature = "mysql")]
mod timeout;

#[cfg(feature = "mysql")]
pub use self::attributes::{
    Fallible, Held, Place, Ran, acquire, acquire_and_begin, connection, finish, lock_tables, run,
    try_acquire, try_acquire_and_begin,
};
#[cfg(feature = "mysql")]
pub use self::timeout::{Seconds, timeout};
pub use crate::lockable::{LockableTable, Parents};
#[cfg(feature = "mysql")]
pub use crate::{Lock, TableLock};
