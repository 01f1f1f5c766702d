//! What is reported to `tracing`, with the feature of that name; without it nothing of this is
//! compiled in.
//!
//! A subscriber may panic in each of its methods, so none is called while another panic unwinds:
//! that would abort the process.

use std::fmt::Display;
use std::time::Duration;

use crate::error::Error;
#[cfg(feature = "tracing")]
use crate::wire::{catch_panic, swallow_panic};

/// The span of one acquire.
#[derive(Debug)]
pub(crate) struct AcquireSpan {
    #[cfg(feature = "tracing")]
    span: Option<tracing::Span>,
    #[cfg(feature = "tracing")]
    started: std::time::Instant,
}

impl AcquireSpan {
    /// Begins the span. There is no timeout if the server's own is in force, or none at all.
    #[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "no one listens"))]
    pub(crate) fn new(kind: &'static str, lock: &dyn Display, timeout: Option<Duration>) -> Self {
        #[cfg(feature = "tracing")]
        {
            use tracing::field::Empty;

            let span = tracing::debug_span!(
                "acquire",
                kind,
                lock = %lock,
                timeout = timeout.map(tracing::field::debug),
                waited = Empty,
                outcome = Empty,
                error = Empty,
            );
            Self { span: Some(span), started: std::time::Instant::now() }
        }
        #[cfg(not(feature = "tracing"))]
        Self {}
    }

    /// Waits inside of the span.
    pub(crate) async fn around<T>(&self, wait: impl Future<Output = T>) -> T {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            let mut wait = std::pin::pin!(wait);
            return std::future::poll_fn(|context| {
                // The span is left after the panic was caught, and before it goes on.
                let caught = span.in_scope(|| catch_panic(|| wait.as_mut().poll(context)));
                caught.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .await;
        }
        wait.await
    }

    /// Ends the span with how long the wait was, and its outcome.
    #[cfg_attr(
        not(feature = "tracing"),
        expect(unused_variables, clippy::unused_self, reason = "no one listens")
    )]
    pub(crate) fn end<T>(
        self,
        result: Result<T, Error>,
        outcome: impl FnOnce(&T) -> &'static str,
    ) -> Result<T, Error> {
        #[cfg(feature = "tracing")]
        if let Some(span) = &self.span {
            use tracing::field::{debug, display};

            span.record("waited", debug(self.started.elapsed()));
            match &result {
                Ok(value) => {
                    span.record("outcome", outcome(value));
                }
                Err(error) => {
                    span.record("outcome", name_of(error)).record("error", display(error));
                }
            }
        }
        result
    }
}

#[cfg(feature = "tracing")]
impl Drop for AcquireSpan {
    fn drop(&mut self) {
        let span = self.span.take();
        if std::thread::panicking() {
            swallow_panic(|| drop(span));
        }
    }
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

/// Reports a lock that was not held to its end, where the caller gets another error, or none.
#[cfg_attr(not(feature = "tracing"), expect(unused_variables, reason = "no one listens"))]
pub(crate) fn warn_of_end(kind: &'static str, lock: &str, error: &Error) {
    #[cfg(feature = "tracing")]
    {
        swallow_panic(|| {
            tracing::warn!(kind, lock, %error, "a lock was not held to its end");
        });
    }
}
