//! How long the server keeps a connection on which a lock is kept alive.

use super::transaction::{LONG_IDLE, put_back_if_saved, save_all};

/// Makes the server close the connection, and free its locks, if it is idle for this long.
pub(crate) fn keep_idle(seconds: u64) -> String {
    format!("SET {}, wait_timeout = {seconds}", save_all(&[LONG_IDLE]))
}

/// Puts back what it was; running it again changes nothing.
pub(crate) fn restore_idle() -> String {
    format!("SET {}", put_back_if_saved(&[LONG_IDLE]))
}
