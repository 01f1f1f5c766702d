//! How long a server keeps a lock from which it hears nothing.

use std::time::Duration;

use crate::error::Error;
use crate::server_error::{ServerError, retry_or_close};
use crate::statement::keep_alive::{keep_idle, restore_idle};
use crate::wire::Wire;

/// How much longer than the interval the server waits for the next query, at least.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The shortest interval between two queries.
pub(crate) const SHORTEST: Duration = Duration::from_millis(10);

/// When to ask again after a query that was killed.
pub(crate) const AGAIN: Duration = Duration::from_millis(500);

/// The longest `wait_timeout` that the servers take, in seconds: a year.
const LONGEST_IDLE: u64 = 31_536_000;

/// Returns the `wait_timeout` for an interval: the next whole second above it and the grace.
pub(crate) fn idle_seconds(every: Duration) -> u64 {
    every.saturating_add(GRACE).as_secs().saturating_add(1).min(LONGEST_IDLE)
}

/// Returns how long after a query the server cannot have freed the lock. A part in a thousand less
/// than
/// `wait_timeout`, and a quarter of a second, since the server's clock may run faster.
pub(crate) fn lease(idle: u64) -> Duration {
    let idle = Duration::from_secs(idle);
    idle.saturating_sub(idle / 1000 + Duration::from_millis(250))
}

/// Makes the server close the connection if it is idle for so many seconds.
pub(crate) async fn set_idle(idle: u64, lock: &str, conn: &mut impl Wire) -> Result<(), Error> {
    let Err(error) = conn.batch(&keep_idle(idle)).await else { return Ok(()) };
    let failed = ServerError::diagnose(error, conn).await;
    // It may have been set.
    end_idle(conn).await?;
    Err(failed.into_error(lock))
}

/// Puts the session's own limit back.
pub(crate) async fn end_idle(conn: &mut impl Wire) -> Result<(), Error> {
    retry_or_close(conn, &restore_idle()).await
}
