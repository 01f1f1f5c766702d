//! Releases named locks.

use super::Lock;
use super::resolve::{error_for, inspect, inspect_uncached};
use crate::connection::{LockConnection, mysql};
use crate::error::Error;
use crate::name::FullName;
use crate::scope::{Ending, Held};
use crate::server_error::{ErrorKind, ServerError, close, connection_lost, number, retry_or_close};
use crate::statement::named::{RELEASE_ALL, Release, release_as_text};
use crate::transaction::Transaction;
use crate::wire::{Wire, abandon_on_panic, now};

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

    /// Releases every named lock of this connection, whether acquired by this library or not. Returns
    /// the number of locks, re-entries included.
    ///
    /// For connections that other code may have left locks on, such as one that was just taken from a
    /// pool: r2d2 calls no customizer when a connection comes back to it. Two round trips.
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

/// A named lock that some connection holds, under the name by which it was acquired.
#[derive(Debug)]
pub(crate) struct HeldLock(FullName);

impl HeldLock {
    pub(super) fn new(name: FullName) -> Self {
        Self(name)
    }

    pub(super) async fn is_still_held(&self, conn: &mut impl Wire) -> Result<bool, Error> {
        let (_, holder, this) = inspect(&self.0, conn).await?;
        Ok(holder == Some(this))
    }

    /// Releases the lock; if that cannot be done, the connection is closed.
    async fn release(&self, conn: &mut impl Wire) -> Result<bool, Error> {
        release_once(&self.0, conn).await
    }
}

impl Held for HeldLock {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn lock(&self) -> &str {
        self.0.as_str()
    }

    async fn end(&self, _: Ending, conn: &mut impl Wire) -> Result<(), Error> {
        if self.release(conn).await? { Ok(()) } else { Err(not_held(&self.0, None)) }
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
        match Transaction::begin(lock.lock(), conn).await {
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
        let released = self.lock.release(conn).await;
        let committed = ended.is_ok() && ending == Ending::Commit;
        ended?;
        if released? { Ok(()) } else { Err(not_held(&self.lock.0, Some(committed))) }
    }
}

fn not_held(name: &FullName, committed: Option<bool>) -> Error {
    Error::NotHeld { lock: name.to_string(), committed }
}

/// Whether the connection held the lock until now.
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
async fn release(lock: &Lock<'_>, conn: &mut impl Wire) -> Result<(), Error> {
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
        return if released? { Ok(()) } else { Err(not_held(&guess, None)) };
    }
    let name = corrected.unwrap_or(guess).settle();
    if release_once(&name, conn).await? { Ok(()) } else { Err(not_held(&name, None)) }
}

/// Releases every named lock of the connection: how many there were.
async fn release_all(conn: &mut impl Wire) -> Result<u64, Error> {
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
