//! The guards.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::result::Error as DieselError;
use diesel_async::AsyncMysqlConnection;

use super::doomed::Doomed;
use crate::error::{Error, FromDieselError};
use crate::lock::HeldLock;
use crate::lock::release::TransactionUnder;
use crate::scope::{Ending, Held, ended_after_body, ending};
use crate::table_lock::HeldTables;

/// Runs the body, and then ends what is held.
pub(super) async fn run<Conn, H, T, E>(
    mut conn: Doomed<Conn>,
    held: H,
    body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
) -> Result<T, E>
where
    Conn: DerefMut<Target = AsyncMysqlConnection>,
    H: Held,
    E: FromDieselError,
{
    let result = body(&mut conn).await;
    let succeeded = result.is_ok();
    let ended = held.end(ending(succeeded), &mut *conn).await;
    conn.spare();
    ended_after_body(&held, succeeded, ended).map_err(DieselError::from)?;
    result
}

macro_rules! guard {
    (
        $(#[$attribute:meta])*
        $Guard:ident($Held:ty), $field:literal
    ) => {
        $(#[$attribute])*
        #[clippy::has_significant_drop]
        pub struct $Guard<Conn: DerefMut<Target = AsyncMysqlConnection>> {
            conn: Doomed<Conn>,
            held: $Held,
        }

        impl<Conn: DerefMut<Target = AsyncMysqlConnection>> $Guard<Conn> {
            pub(super) fn new(conn: Doomed<Conn>, held: $Held) -> Self {
                Self { conn, held }
            }

            async fn end(mut self, ending: Ending) -> Result<Conn, Error> {
                let ended = self.held.end(ending, &mut *self.conn).await;
                let conn = self.conn.spare();
                ended.map(|()| conn)
            }
        }

        impl<Conn: DerefMut<Target = AsyncMysqlConnection>> Deref for $Guard<Conn> {
            type Target = AsyncMysqlConnection;

            fn deref(&self) -> &AsyncMysqlConnection {
                &self.conn
            }
        }

        impl<Conn: DerefMut<Target = AsyncMysqlConnection>> DerefMut for $Guard<Conn> {
            fn deref_mut(&mut self) -> &mut AsyncMysqlConnection {
                &mut self.conn
            }
        }

        impl<Conn: DerefMut<Target = AsyncMysqlConnection>> fmt::Debug for $Guard<Conn> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($Guard))
                    .field($field, &self.held.lock())
                    .finish_non_exhaustive()
            }
        }
    };
}

guard! {
    /// A named lock that is held, and the connection that holds it.
    ///
    /// The guard dereferences to the connection: `&mut guard` is what diesel-async's queries take,
    /// and a guard that owns its connection is itself an `AsyncConnection`, for example for the
    /// `AsyncMigrationHarness`.
    ///
    /// **Dropping it closes the connection**, which releases the lock in a few milliseconds: see
    /// [cancellation](crate::aio#cancellation). [`release`](Self::release) keeps the connection.
    #[must_use = "dropping the guard closes the connection: `release` it to keep that"]
    LockGuard(HeldLock), "lock"
}

guard! {
    /// Tables that are locked, and the connection that has locked them, in a transaction.
    ///
    /// The guard dereferences to the connection: `&mut guard` is what diesel-async's queries take.
    ///
    /// **Dropping it closes the connection**, which rolls back and unlocks the tables in a few
    /// milliseconds: see [cancellation](crate::aio#cancellation). [`release`](Self::release) and
    /// [`rollback`](Self::rollback) keep the connection.
    #[must_use = "dropping the guard closes the connection: `release` it to commit"]
    TableLockGuard(HeldTables), "tables"
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> LockGuard<Conn> {
    pub(super) fn parts(&mut self) -> (&HeldLock, &mut AsyncMysqlConnection) {
        (&self.held, &mut self.conn)
    }

    /// Releases the lock, and returns the connection.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// The same as [`LockGuard::release`](crate::Error#variant.NotHeld) of a blocking connection:
    /// [`Error::NotHeld`] if this connection no longer held the lock, [`Error::ConnectionLost`],
    /// [`Error::Interrupted`] or [`Error::Diesel`]. After an error the lock is not held, either; a
    /// connection that the guard owned is dropped.
    pub async fn release(self) -> Result<Conn, Error> {
        // A named lock is released either way.
        self.end(Ending::Commit).await
    }

    /// Keeps the lock beyond the guard: until [`Lock::release`](super::Lock::release), or the end
    /// of the connection. Returns the connection.
    pub fn leak(self) -> Conn {
        self.conn.spare()
    }

    /// Asks the server whether the lock is still held: for a long job, before its last step.
    ///
    /// One round trip.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], [`Error::ConnectionLost`] (the lock is lost with the connection), or
    /// [`Error::Diesel`].
    pub async fn is_still_held(&mut self) -> Result<bool, Error> {
        let mut conn = Doomed::new(&mut *self.conn);
        let is_held = self.held.is_still_held(&mut *conn).await;
        conn.spare();
        is_held
    }

    /// Returns the fencing token of this acquisition, or `None` if the lock is not
    /// [fenced](super::Lock::fenced).
    ///
    /// Pass it to systems other than the database, with each request: one that refuses a token that
    /// is smaller than the greatest it has seen obeys only the last holder.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.held.fencing_token()
    }

    /// Runs the body in a transaction under the lock: begins, runs the body, then commits or rolls
    /// back. The lock stays held.
    ///
    /// Four round trips without those of the body.
    ///
    /// # Errors
    ///
    /// The same as [`Lock::transaction`](super::Lock::transaction), except that the lock is neither
    /// acquired nor released.
    pub async fn transaction<T, E>(
        &mut self,
        body: impl AsyncFnOnce(&mut AsyncMysqlConnection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: FromDieselError,
    {
        let mut conn = Doomed::new(&mut *self.conn);
        match TransactionUnder::begin(&self.held, None, &mut *conn).await {
            Ok(held) => run(conn, held, body).await,
            Err(error) => {
                conn.spare();
                Err(DieselError::from(error).into())
            }
        }
    }
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> TableLockGuard<Conn> {
    /// Commits, unlocks the tables, restores the session, and returns the connection.
    ///
    /// Two round trips. The name is that of `django_mysql`'s `TableLock.release`, which commits
    /// too.
    ///
    /// # Errors
    ///
    /// - [`Error::TransactionEnded`] if something under the lock has ended the transaction or the
    ///   table lock. What was written before that moment may be committed, and what came after was
    ///   not protected; it is rolled back.
    /// - [`Error::InTransaction`] if a transaction that was begun under the lock is still open.
    ///   Everything is rolled back.
    /// - [`Error::Deadlock`], [`Error::Interrupted`] or [`Error::Diesel`] if the commit failed.
    ///   Everything is rolled back, unless `KILL QUERY` came too late to stop the commit.
    /// - [`Error::ConnectionLost`]: if it was lost during the commit, the work may be committed.
    ///
    /// After an error the tables are unlocked, too; a connection that the guard owned is dropped.
    pub async fn release(self) -> Result<Conn, Error> {
        self.end(Ending::Commit).await
    }

    /// Rolls back, unlocks the tables, restores the session, and returns the connection.
    ///
    /// Two round trips.
    ///
    /// # Errors
    ///
    /// [`Error::TransactionEnded`] if something under the lock has ended the transaction: what was
    /// written before that moment may be committed. [`Error::ConnectionLost`]: nothing is
    /// committed.
    pub async fn rollback(self) -> Result<Conn, Error> {
        self.end(Ending::RollBack).await
    }
}
