//! Acquires named locks, and begins transactions under them.

use std::time::Duration;

use super::Lock;
use super::release::{HeldLock, HeldTransaction, KIND};
use super::wait::{Outcome, wait_for};
use crate::error::Error;
use crate::name::FullName;
use crate::timeout::Timeout;
use crate::trace::AcquireSpan;
use crate::transaction::Transaction;
use crate::wire::Wire;

/// Acquires the lock, waiting up to the timeout.
pub(crate) async fn hold(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<HeldLock, Error> {
    let span = AcquireSpan::new(KIND, &lock.name, lock.timeout.duration());
    let waited = span.around(wait_for(lock, lock.timeout, conn)).await;
    let held = waited.and_then(|outcome| match outcome {
        Outcome::Acquired(name) => Ok(HeldLock::one(name, lock.at_least)),
        Outcome::Busy { name, holder } => Err(timed_out(&name, lock.timeout, holder)),
    });
    span.end(held, |_| "acquired")
}

/// The error for a lock that was not free in time.
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
    let waited = span.around(wait_for(lock, Timeout::ZERO, conn)).await;
    let held = waited.map(|outcome| match outcome {
        Outcome::Acquired(name) => Some(HeldLock::one(name, lock.at_least)),
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
