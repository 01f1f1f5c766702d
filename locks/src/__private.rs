//! All that the macros may name. Not part of the API.

pub use crate::lockable::{LockableTable, Parents};
