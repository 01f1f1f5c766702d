//! All that the macros may name. Not part of the API.

#[cfg(feature = "mysql")]
mod attributes;
#[cfg(feature = "async")]
mod awaited;
#[cfg(any(feature = "async", feature = "mysql"))]
mod fallible;
#[cfg(any(feature = "async", feature = "mysql"))]
mod held;
#[cfg(any(feature = "async", feature = "mysql"))]
mod timeout;

#[cfg(feature = "mysql")]
pub use self::attributes::{
    Place, Ran, acquire, acquire_and_begin, connection, finish, lock_tables, run, try_acquire,
    try_acquire_and_begin,
};
#[cfg(any(feature = "async", feature = "mysql"))]
pub use self::fallible::Fallible;
#[cfg(any(feature = "async", feature = "mysql"))]
pub use self::held::Held;
#[cfg(any(feature = "async", feature = "mysql"))]
pub use self::timeout::{Seconds, timeout};
pub use crate::lockable::{LockableTable, Parents};
#[cfg(any(feature = "async", feature = "mysql"))]
pub use crate::{Lock, TableLock};

/// For `async fn`.
#[cfg(feature = "async")]
pub mod aio {
    pub use super::awaited::{
        AwaitedConnection, AwaitedHeld, AwaitedPlace, End, Lend, Owned, acquire, acquire_and_begin,
        body, held, lock_tables, try_acquire, try_acquire_and_begin,
    };
}
