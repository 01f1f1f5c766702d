//! What is told to `tracing`, with the feature of that name; without it nothing of this is compiled
//! in.

use std::time::Duration;

use crate::error::Error;

/// What is to be acquired.
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nobody listens"))]
pub(crate) struct Wanted<'w> {
    pub(crate) kind: &'static str,
    /// Asked for only where somebody listens.
    pub(crate) name: &'w dyn std::fmt::Display,
    /// None where the server's own limit is in force, or none at all.
    pub(crate) timeout: Option<Duration>,
}

/// A span around the wait, which ends with how long it was and what came of it.
#[cfg(feature = "tracing")]
pub(crate) fn acquire<T>(
    wanted: &Wanted<'_>,
    outcome: impl FnOnce(&T) -> &'static str,
    wait: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    use tracing::field::{Empty, debug, display};

    let span = tracing::debug_span!(
        "acquire",
        kind = wanted.kind,
        lock = %wanted.name,
        timeout = wanted.timeout.map(debug),
        waited = Empty,
        outcome = Empty,
        error = Empty,
    );
    let started = std::time::Instant::now();
    let result = span.in_scope(wait);
    span.record("waited", debug(started.elapsed()));
    match &result {
        Ok(value) => {
            span.record("outcome", outcome(value));
        }
        Err(error) => {
            span.record("outcome", name_of(error)).record("error", display(error));
        }
    }
    result
}

#[cfg(not(feature = "tracing"))]
#[inline]
pub(crate) fn acquire<T>(
    _: &Wanted<'_>,
    _: impl FnOnce(&T) -> &'static str,
    wait: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    wait()
}

#[cfg(feature = "tracing")]
fn name_of(error: &Error) -> &'static str {
    match error {
        Error::Timeout { .. } => "timeout",
        Error::Deadlock { .. } => "deadlock",
        Error::Interrupted { .. } => "interrupted",
        _ => "error",
    }
}

/// A guard was dropped, and nobody else is left to tell that its lock was not held to the end.
#[cfg_attr(not(feature = "tracing"), inline)]
pub(crate) fn dropped(kind: &'static str, lock: Option<&str>, released: Result<(), Error>) {
    #[cfg(feature = "tracing")]
    if let Err(error) = released {
        tracing::warn!(kind, lock, %error, "a release failed while its guard was dropped");
    }
    #[cfg(not(feature = "tracing"))]
    let _ = (kind, lock, released);
}
