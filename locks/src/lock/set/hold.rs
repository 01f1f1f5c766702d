//! Acquires sets of named locks, and begins transactions under them.

use super::LockSet;
use super::wait::acquire_set;
use crate::error::Error;
use crate::lock::hold::timed_out;
use crate::lock::release::KIND;
use crate::lock::wait::Outcome;
use crate::lock::{HeldLock, HeldTransaction};
use crate::timeout::Timeout;
use crate::trace::AcquireSpan;
use crate::transaction::Transaction;
use crate::wire::Wire;

/// Acquires all of the locks, waiting up to the timeout.
pub(crate) async fn hold_set(set: &LockSet, conn: &mut impl Wire) -> Result<HeldLock, Error> {
    let span = AcquireSpan::new(KIND, set, set.timeout.duration());
    let waited = span.around(acquire_set(set, set.timeout, conn)).await;
    let held = waited.and_then(|outcome| match outcome {
        Outcome::Acquired(names) => Ok(HeldLock::set(names, set.at_least)),
        Outcome::Busy { name, holder } => Err(timed_out(&name, set.timeout, holder)),
    });
    span.end(held, |_| "acquired")
}

/// Acquires all of the locks if all are free.
pub(crate) async fn try_hold_set(
    set: &LockSet,
    conn: &mut impl Wire,
) -> Result<Option<HeldLock>, Error> {
    let span = AcquireSpan::new(KIND, set, Timeout::ZERO.duration());
    let waited = span.around(acquire_set(set, Timeout::ZERO, conn)).await;
    let held = waited.map(|outcome| match outcome {
        Outcome::Acquired(names) => Some(HeldLock::set(names, set.at_least)),
        Outcome::Busy { .. } => None,
    });
    span.end(held, |held| if held.is_some() { "acquired" } else { "busy" })
}

/// Acquires the locks and begins a transaction.
pub(crate) async fn hold_set_and_begin(
    set: &LockSet,
    conn: &mut impl Wire,
) -> Result<HeldTransaction, Error> {
    Transaction::refuse_open(conn)?;
    let held = hold_set(set, conn).await?;
    HeldTransaction::begin(held, conn).await
}
