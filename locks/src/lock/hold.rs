//! Acquires named locks, and begins transactions under them.

use std::time::Duration;

use super::Lock;
use super::fence::Fence;
use super::release::{HeldLock, HeldTransaction, KIND, release_once};
use super::wait::{Outcome, wait_for};
use crate::error::Error;
use crate::name::FullName;
use crate::timeout::{Timeout, Wait};
use crate::trace::AcquireSpan;
use crate::transaction::Transaction;
use crate::wire::Wire;

/// Acquires the lock, waiting up to the timeout.
pub(crate) async fn hold(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<HeldLock, Error> {
    let span = AcquireSpan::new(KIND, &lock.name, lock.timeout.duration());
    let waited = span.around(wait_and_draw(lock, lock.timeout, conn)).await;
    let held = waited.and_then(|outcome| match outcome {
        Outcome::Acquired(held) => Ok(held),
        Outcome::Busy { name, holder } => Err(timed_out(&name, lock.timeout, holder)),
    });
    span.end(held, |_| "acquired")
}

/// Waits for the lock, and draws its token if it is fenced.
async fn wait_and_draw(
    lock: &Lock<'_>,
    timeout: Timeout,
    conn: &mut impl Wire,
) -> Result<Outcome<HeldLock>, Error> {
    let wait = Wait::start(timeout);
    if lock.is_fenced() {
        lock.refuse_unfenced(conn)?;
    }
    let name = match wait_for(lock, timeout, conn).await? {
        Outcome::Acquired(name) => name,
        Outcome::Busy { name, holder } => return Ok(Outcome::Busy { name, holder }),
    };
    if !lock.is_fenced() {
        return Ok(Outcome::Acquired(HeldLock::one(name, lock.at_least)));
    }
    match Fence::draw(lock, &name, &wait, conn).await {
        Ok(Some(fence)) => Ok(Outcome::Acquired(HeldLock::one(name, lock.at_least).fenced(fence))),
        Ok(None) => {
            release_once(&name, conn).await?;
            Ok(Outcome::Busy { name, holder: None })
        }
        Err(error) => {
            // The first error says why; a lock that cannot be released closes the connection.
            let _ = release_once(&name, conn).await;
            Err(error)
        }
    }
}

/// Returns the error for a lock that was not free in time.
pub(super) fn timed_out(name: &FullName, timeout: Timeout, holder: Option<u64>) -> Error {
    Error::Timeout {
        lock: name.to_string(),
        timeout: timeout.duration().unwrap_or(Duration::MAX),
        holder,
        is_table_lock: false,
    }
}

/// Acquires the lock if it is free.
pub(crate) async fn try_hold(
    lock: &Lock<'_>,
    conn: &mut impl Wire,
) -> Result<Option<HeldLock>, Error> {
    let span = AcquireSpan::new(KIND, &lock.name, Timeout::ZERO.duration());
    let waited = span.around(wait_and_draw(lock, Timeout::ZERO, conn)).await;
    let held = waited.map(|outcome| match outcome {
        Outcome::Acquired(held) => Some(held),
        Outcome::Busy { .. } => None,
    });
    span.end(held, |held| if held.is_some() { "acquired" } else { "busy" })
}

/// Acquires the lock and begins a transaction.
pub(crate) async fn hold_and_begin(
    lock: &Lock<'_>,
    conn: &mut impl Wire,
) -> Result<HeldTransaction, Error> {
    Transaction::refuse_open(conn)?;
    let held = hold(lock, conn).await?;
    HeldTransaction::begin(held, conn).await
}

/// Does the same if the lock is free.
pub(crate) async fn try_hold_and_begin(
    lock: &Lock<'_>,
    conn: &mut impl Wire,
) -> Result<Option<HeldTransaction>, Error> {
    Transaction::refuse_open(conn)?;
    match try_hold(lock, conn).await? {
        Some(held) => HeldTransaction::begin(held, conn).await.map(Some),
        None => Ok(None),
    }
}
