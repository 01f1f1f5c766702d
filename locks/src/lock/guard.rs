//! A named lock that is held.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::mysql::MysqlConnection;

use super::HeldLock;
use crate::connection::Lent;
use crate::error::Error;
use crate::trace;

/// A named lock that is held, and the connection that holds it.
///
/// It stands for the connection: `&mut *guard` is what Diesel's queries take. Dropping it releases
/// the lock, at once and with one round trip, in a panic too; what may go wrong then is not told, so
/// [`release`](Self::release) it where the work has to have been exclusive.
#[must_use = "dropping the guard releases the lock: `let _guard = …` keeps it"]
#[clippy::has_significant_drop]
pub struct LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    conn: Lent<Conn>,
    held: HeldLock,
}

impl<Conn> LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    pub(super) fn new(conn: Conn, held: HeldLock) -> Self {
        Self { conn: Lent::new(conn), held }
    }

    /// Releases the lock, tells whether it was held to the end, and gives the connection back.
    ///
    /// # Errors
    ///
    /// [`Error::NotHeld`] if the lock was not this connection's any more: released by other means,
    /// or lost with a connection that was closed and opened again. Else Diesel's, for a lost
    /// connection. The lock is not held after an error either; an owned connection is dropped.
    pub fn release(mut self) -> Result<Conn, Error> {
        let mut conn = self.conn.take();
        self.held.release(&mut conn).map(|()| conn)
    }

    /// Keeps the lock beyond the guard: until [`Lock::release`](crate::Lock::release), or the end of
    /// the connection.
    pub fn leak(mut self) -> Conn {
        self.conn.take()
    }

    /// Asks the server whether the lock is still held: for a long job, before its last step.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`], or Diesel's: with a lost connection, the lock is lost too.
    pub fn is_still_held(&mut self) -> Result<bool, Error> {
        self.held.is_still_held(self.conn.get_mut())
    }

    /// The body's error comes before one of the release.
    pub(super) fn run<T, E: From<Error>>(
        mut self,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let result = body(&mut self);
        let released = self.release();
        let value = result?;
        released?;
        Ok(value)
    }
}

impl<Conn> Drop for LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take_if_whole() {
            let released = self.held.release(&mut conn);
            trace::dropped("named lock", Some(self.held.name()), released);
        }
    }
}

impl<Conn> Deref for LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        self.conn.get()
    }
}

impl<Conn> DerefMut for LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        self.conn.get_mut()
    }
}

impl<Conn> fmt::Debug for LockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").field("held", &self.held).finish_non_exhaustive()
    }
}
