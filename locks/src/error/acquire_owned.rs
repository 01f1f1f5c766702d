//! The error of guards that own their connection.

use std::error::Error as StdError;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use diesel::result::Error as DieselError;

use super::Error;

/// The error returned by `acquire_owned`. It hands the connection back to the caller.
///
/// It passes through `?` into `anyhow::Error`, `eyre::Report`, `Box<dyn Error + Send + Sync>`, an
/// enum with `#[from] AcquireOwnedError<…>`, [`Error`] and [`diesel::result::Error`]. The
/// connection lives as long as this error does, so a pooled one goes back to its pool only when the
/// error is dropped or converted into one of the last two.
pub struct AcquireOwnedError<Conn>(
    /// Boxed, because Clippy warns of every function that returns a large error.
    Box<Failed<Conn>>,
);

struct Failed<Conn> {
    error: Error,
    /// Inside of a `Mutex`, which makes it `Sync` although connections are not.
    conn: Mutex<Conn>,
}

impl<Conn> AcquireOwnedError<Conn> {
    #[cfg_attr(
        not(any(feature = "async", feature = "mysql")),
        expect(dead_code, reason = "only a connection takes locks")
    )]
    pub(crate) fn new(error: Error, conn: Conn) -> Self {
        Self(Box::new(Failed { error, conn: Mutex::new(conn) }))
    }

    /// Why the lock was not acquired.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0.error
    }

    /// Returns the error, and the connection as it was before.
    pub fn into_parts(self) -> (Error, Conn) {
        let Failed { error, conn } = *self.0;
        (error, conn.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<Conn> fmt::Debug for AcquireOwnedError<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireOwnedError").field("error", &self.0.error).finish_non_exhaustive()
    }
}

impl<Conn> fmt::Display for AcquireOwnedError<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("could not acquire a guard that owns its connection")
    }
}

impl<Conn> StdError for AcquireOwnedError<Conn> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0.error)
    }
}

impl<Conn> From<AcquireOwnedError<Conn>> for Error {
    fn from(failed: AcquireOwnedError<Conn>) -> Self {
        failed.0.error
    }
}

impl<Conn> From<AcquireOwnedError<Conn>> for DieselError {
    fn from(failed: AcquireOwnedError<Conn>) -> Self {
        failed.0.error.into()
    }
}
