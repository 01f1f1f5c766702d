//! Releases named locks.

use std::time::Duration;

use super::Lock;
use super::fence::Fence;
use super::minimum::Minimum;
use super::resolve::{error_for, inspect_uncached, is_own};
use super::set::release::{holds_set, list, release_set};
#[cfg(feature = "mysql")]
use crate::connection::{LockConnection, mysql};
use crate::error::Error;
use crate::name::FullName;
use crate::scope::{Ending, Held};
use crate::server_error::{
    ErrorKind, ServerError, close, connection_lost, in_step, number, retry_or_close,
};
use crate::statement::named::{RELEASE_ALL, Release, release_as_text};
use crate::transaction::Transaction;
use crate::wire::Wire;
#[cfg(feature = "mysql")]
use crate::wire::{abandon_on_panic, now};

#[cfg(feature = "mysql")]
impl Lock<'_> {
    /// Releases a lock that was kept with [`LockGuard::leak`](super::LockGuard::leak).
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if this connection does not hold it. [`Error::InvalidName`],
    /// [`Error::NoDatabase`], [`Error::Interrupted`], [`Error::Unsupported`],
    /// [`Error::ConnectionLost`] or [`Error::Diesel`]. The prefix is the connection's database now.
    pub fn release<Conn>(&self, conn: &mut Conn) -> Result<(), Error>
    where
        Conn: LockConnection + ?Sized,
    {
        abandon_on_panic(mysql(conn)?, |conn| now(release(self, conn)))
    }

    /// Releases every named lock of this connection, whether acquired by this library or not.
    /// Returns the number of locks, re-entries included.
    ///
    /// For connections that other code may have left locks on, such as one that was just taken from
    /// a pool: r2d2 calls no customizer when a connection comes back to it. Two round trips.
    ///
    /// # Errors
    ///
    /// [`Error::ConnectionLost`]: the connection is closed, which releases them too.
    pub fn release_all<Conn>(conn: &mut Conn) -> Result<u64, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        abandon_on_panic(mysql(conn)?, |conn| now(release_all(conn)))
    }
}

/// The kind of lock, for `tracing`.
pub(super) const KIND: &str = "named lock";

/// A named lock that some connection holds, or a set of them.
#[derive(Debug, Clone)]
pub(crate) struct HeldLock {
    names: Names,
    minimum: Minimum,
    fence: Option<Fence>,
}

/// The names by which locks were acquired.
#[derive(Debug, Clone)]
enum Names {
    One(FullName),
    Set {
        /// In the order in which they were acquired.
        names: Vec<FullName>,
        /// All of them.
        text: String,
    },
}

impl HeldLock {
    /// Returns a lock that was acquired just now.
    pub(super) fn one(name: FullName, at_least: Duration) -> Self {
        Self { names: Names::One(name), minimum: Minimum::start(at_least), fence: None }
    }

    pub(super) fn fenced(self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self }
    }

    /// Returns how long its release waits.
    pub(crate) fn minimum_rest(&self) -> Duration {
        self.minimum.rest()
    }

    pub(crate) fn fencing_token(&self) -> Option<u64> {
        self.fence.as_ref().map(Fence::token)
    }

    /// Makes the open transaction one that only the last holder of the lock commits.
    async fn check_fence(&self, conn: &mut impl Wire) -> Result<(), Error> {
        match (&self.fence, &self.names) {
            (Some(fence), Names::One(name)) => fence.check(name, conn).await,
            _ => Ok(()),
        }
    }

    /// Returns a set that was acquired just now.
    pub(super) fn set(names: Vec<FullName>, at_least: Duration) -> Self {
        let minimum = Minimum::start(at_least);
        let text = list(&names);
        Self { names: Names::Set { names, text }, minimum, fence: None }
    }

    pub(crate) async fn is_still_held(&self, conn: &mut impl Wire) -> Result<bool, Error> {
        match &self.names {
            Names::One(name) => is_own(name, conn).await,
            Names::Set { names, .. } => holds_set(names, conn).await,
        }
    }

    /// Releases the lock, after the minimum if its work has succeeded.
    async fn end(&self, succeeded: bool, conn: &mut impl Wire) -> Result<bool, Error> {
        let waited = if succeeded { self.minimum.wait(self.lock(), conn).await } else { Ok(()) };
        let was_held = self.release(conn).await;
        waited.and(was_held)
    }

    /// Releases the lock; if that cannot be done, the connection is closed.
    async fn release(&self, conn: &mut impl Wire) -> Result<bool, Error> {
        match &self.names {
            Names::One(name) => release_once(name, conn).await,
            Names::Set { names, .. } => release_set(names, conn).await,
        }
    }
}

impl Held for HeldLock {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        match &self.names {
            Names::One(name) => name.as_str(),
            Names::Set { text, .. } => text,
        }
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        if self.end(ending == Ending::Commit, conn).await? {
            Ok(())
        } else {
            Err(not_held(self.lock(), None))
        }
    }
}

/// A named lock, and a transaction under it.
#[derive(Debug)]
pub(crate) struct HeldTransaction {
    lock: HeldLock,
    transaction: Transaction,
}

impl HeldTransaction {
    /// Begins the transaction. If that fails the lock is released.
    pub(crate) async fn begin(lock: HeldLock, conn: &mut impl Wire) -> Result<Self, Error> {
        match begin_transaction(&lock, None, conn).await {
            Ok(transaction) => Ok(Self { lock, transaction }),
            Err(error) => {
                // The first error says why; a lock that cannot be released closes the connection.
                let _ = lock.release(conn).await;
                Err(error)
            }
        }
    }
}

impl Held for HeldTransaction {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        self.lock.lock()
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        let ended = self.transaction.end(ending, self.lock(), conn).await;
        let committed = ended.is_ok() && ending == Ending::Commit;
        let released = self.lock.end(committed, conn).await;
        ended?;
        if released? { Ok(()) } else { Err(not_held(self.lock(), Some(committed))) }
    }
}

/// A transaction under a lock that outlives it.
#[derive(Debug)]
pub(crate) struct TransactionUnder {
    lock: String,
    transaction: Transaction,
}

impl TransactionUnder {
    /// With `idle`, the server ends the transaction if it hears nothing for so many seconds.
    pub(crate) async fn begin(
        lock: &HeldLock,
        idle: Option<u64>,
        conn: &mut impl Wire,
    ) -> Result<Self, Error> {
        Transaction::refuse_open(conn)?;
        in_step(lock.lock(), conn).await?;
        let transaction = begin_transaction(lock, idle, conn).await?;
        Ok(Self { lock: lock.lock().to_owned(), transaction })
    }
}

impl Held for TransactionUnder {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        &self.lock
    }

    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        self.transaction.end(ending, &self.lock, conn).await
    }
}

/// Begins a transaction that commits only if no later holder of a fenced lock has begun.
async fn begin_transaction(
    lock: &HeldLock,
    idle: Option<u64>,
    conn: &mut impl Wire,
) -> Result<Transaction, Error> {
    let transaction = Transaction::begin(lock.lock(), idle, conn).await?;
    let Err(error) = lock.check_fence(conn).await else { return Ok(transaction) };
    // The first error says why; a transaction that cannot be ended closes the connection.
    let _ = transaction.end(Ending::RollBack, lock.lock(), conn).await;
    Err(error)
}

fn not_held(lock: &str, committed: Option<bool>) -> Error {
    Error::NotHeld { lock: lock.to_owned(), committed }
}

/// Returns whether the connection held the lock until now.
pub(super) async fn release_once(name: &FullName, conn: &mut impl Wire) -> Result<bool, Error> {
    let error = match conn.call(&Release::new(name)).await {
        Ok(was_held) => return Ok(was_held),
        Err(error) => error,
    };
    let error = ServerError::diagnose(error, conn).await;
    match error.kind {
        ErrorKind::ConnectionLost
        | ErrorKind::NameRefused
        | ErrorKind::LockNameTooLong
        | ErrorKind::NameTooLong => return Err(error_for(name, error)),
        _ => {}
    }
    // Interrupted, perhaps after it was released. If it is still held, it was held to the end.
    if let Ok(true) = conn.call(&Release::new(name)).await {
        return Ok(true);
    }
    retry_or_close(conn, &release_as_text(name)).await?;
    Err(error_for(name, error))
}

/// Releases a lock that was kept by a guard's `leak`.
pub(crate) async fn release(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<(), Error> {
    let guess = lock.guess()?;
    let released = release_once(&guess, conn).await;
    if let Ok(true) = released {
        return Ok(());
    }
    // After an error too: what was not released may have the name of another database.
    let (database, holder, this) = match inspect_uncached(&guess, conn).await {
        Ok(row) => row,
        Err(error) => return released.and(Err(error)),
    };
    let corrected = lock.correct(&guess, database)?;
    if corrected.is_none() && holder != Some(this) {
        return if released? { Ok(()) } else { Err(not_held(guess.as_str(), None)) };
    }
    let name = corrected.unwrap_or(guess).settle();
    if release_once(&name, conn).await? { Ok(()) } else { Err(not_held(name.as_str(), None)) }
}

/// Releases every named lock of the connection: how many there were.
pub(crate) async fn release_all(conn: &mut impl Wire) -> Result<u64, Error> {
    let mut tries = 1;
    loop {
        match number(conn, RELEASE_ALL).await {
            Ok(released) => return Ok(released.unwrap_or(0)),
            Err(_) if tries < 3 => tries += 1,
            Err(error) => {
                close(conn).await;
                return Err(connection_lost(error));
            }
        }
    }
}
