//! The guard of a named lock.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::release::{HeldLock, TransactionUnder};
use crate::connection::{GuardedConnection, LockConnection, mysql};
use crate::error::{Error, FromDieselError};
use crate::scope::{Ending, Held, Scope};
use crate::wire::{abandon_on_panic, now};

/// A named lock that is held, or a [set](crate::LockSet) of them, and the connection that holds it.
///
/// The guard dereferences to the connection: `&mut *guard` is what Diesel's queries take. Dropping
/// it releases the lock immediately, with one round trip, in a panic too. Errors are ignored on
/// drop, so call [`release`](Self::release) if you need to know that the work was exclusive.
///
/// `LockGuard<&mut C>` and `LockGuard<Box<C>>` dereference to `C`, a guard that owns a pooled
/// connection or a [`MysqlConnection`] to that.
#[must_use = "dropping the guard releases the lock immediately: `let _guard = …` keeps it"]
#[clippy::has_significant_drop]
pub struct LockGuard<Conn: LockConnection>(Scope<Conn, HeldLock>);

impl<Conn: LockConnection> LockGuard<Conn> {
    pub(super) fn new(conn: Conn, held: HeldLock) -> Self {
        Self(Scope::new(conn, held))
    }

    pub(super) fn into_scope(self) -> Scope<Conn, HeldLock> {
        self.0
    }

    /// Releases the lock, and returns the connection.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if this connection no longer held the lock, or one of the set: it was
    /// released in another way, or lost with a connection that was closed and opened again.
    /// [`Error::ConnectionLost`], [`Error::Interrupted`] or [`Error::Diesel`]. After an error the
    /// lock is not held, either; a connection that the guard owned is dropped.
    pub fn release(self) -> Result<Conn, Error> {
        // A named lock is released either way.
        self.0.end(Ending::Commit)
    }

    /// Keeps the lock beyond the guard: until [`Lock::release`](crate::Lock::release), or the end
    /// of the connection. Returns the connection. The locks of a set are then released one by one.
    pub fn leak(self) -> Conn {
        self.0.leak()
    }

    /// Asks the server whether the lock is still held: for a long job, before its last step.
    ///
    /// One round trip. Nothing but TCP limits how long it may take on a network that drops packets
    /// silently.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], [`Error::ConnectionLost`] (the lock is lost with the connection), or
    /// [`Error::Diesel`].
    pub fn is_still_held(&mut self) -> Result<bool, Error> {
        let (held, conn) = self.0.parts();
        now(held.is_still_held(mysql(conn)?))
    }

    /// Returns the fencing token of this acquisition, or `None` if the lock is not
    /// [fenced](crate::Lock::fenced).
    ///
    /// Pass it to systems other than the database, with each request: one that refuses a token that
    /// is smaller than the greatest it has seen obeys only the last holder.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.0.held().fencing_token()
    }

    /// Runs the body in a transaction under the lock: begins, runs the body, then commits or rolls
    /// back. The lock stays held.
    ///
    /// # Errors
    ///
    /// The same as [`Lock::transaction`](crate::Lock::transaction), except that the lock is neither
    /// acquired nor released: [`Error::Superseded`] if the lock is fenced and a later holder has
    /// begun.
    pub fn transaction<T, E>(
        &mut self,
        body: impl FnOnce(&mut Conn::Target) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: GuardedConnection,
        E: FromDieselError,
    {
        let (lock, conn) = self.0.parts();
        let conn = conn.target_mut();
        let begun = mysql(conn).and_then(|conn| begin(lock, None, conn));
        Scope::new(conn, begun.map_err(DieselError::from)?).run(body)
    }
}

/// Begins a transaction, in which the session may be idle for so many seconds.
pub(super) fn begin(
    lock: &HeldLock,
    idle: Option<u64>,
    conn: &mut MysqlConnection,
) -> Result<TransactionUnder, Error> {
    abandon_on_panic(conn, |conn| now(TransactionUnder::begin(lock, idle, conn)))
}

impl<Conn: GuardedConnection> Deref for LockGuard<Conn> {
    type Target = Conn::Target;

    fn deref(&self) -> &Conn::Target {
        self.0.conn().target()
    }
}

impl<Conn: GuardedConnection> DerefMut for LockGuard<Conn> {
    fn deref_mut(&mut self) -> &mut Conn::Target {
        self.0.conn_mut().target_mut()
    }
}

impl<Conn: LockConnection> LockConnection for LockGuard<Conn> {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        self.0.conn_mut().mysql_connection()
    }
}

impl<Conn: LockConnection> fmt::Debug for LockGuard<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("lock", &self.0.held().lock()).finish_non_exhaustive()
    }
}
