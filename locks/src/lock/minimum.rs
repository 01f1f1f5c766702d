//! Keeps a lock for a minimum time.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::server_error::ServerError;
use crate::statement::named::sleep;
use crate::wire::Wire;

/// The longest sleep asked of the server at once.
const LONGEST_SLEEP: Duration = Duration::from_secs(3_600);

/// How long a lock is held at least.
#[derive(Debug, Clone)]
pub(super) struct Minimum {
    since: Instant,
    at_least: Duration,
}

impl Minimum {
    /// For a lock that was acquired just now.
    pub(super) fn start(at_least: Duration) -> Self {
        Self { since: Instant::now(), at_least }
    }

    /// Returns what is left of it.
    pub(super) fn rest(&self) -> Duration {
        self.at_least.saturating_sub(self.since.elapsed())
    }

    /// Waits for the rest of it. The server sleeps, so that the session does not count as idle.
    pub(super) async fn wait<W: Wire>(&self, lock: &str, conn: &mut W) -> Result<(), Error> {
        loop {
            let rest = self.rest();
            if rest.is_zero() {
                return Ok(());
            }
            // `KILL QUERY` and time limits for statements end a sleep early, and without an error.
            let sleep = sleep(rest.min(LONGEST_SLEEP).min(W::LONGEST_WAIT));
            if let Err(error) = conn.batch(&sleep).await {
                return Err(ServerError::diagnose(error, conn).await.into_error(lock));
            }
        }
    }
}
