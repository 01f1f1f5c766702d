//! Tables that are locked.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel::mysql::MysqlConnection;

use super::held;
use crate::connection::Lent;
use crate::error::Error;
use crate::trace;

/// Tables that are locked, and the connection that has locked them, in a transaction.
///
/// It stands for the connection: `&mut *guard` is what Diesel's queries take. Dropping it rolls back
/// what was done under it and unlocks the tables, in a panic too.
#[must_use = "dropping the guard rolls back and unlocks: `release` it to commit"]
#[clippy::has_significant_drop]
pub struct TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    conn: Lent<Conn>,
}

impl<Conn> TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    pub(super) fn new(conn: Conn) -> Self {
        Self { conn: Lent::new(conn) }
    }

    /// Commits, unlocks the tables, puts the session back to what it was, and gives the connection
    /// back.
    ///
    /// # Errors
    ///
    /// Diesel's, if the commit failed: then everything is rolled back. [`Error::InTransaction`] if a
    /// transaction that was begun under the lock is still open: its end is unknown, so everything is
    /// rolled back. If the connection was lost while it was answering, what was asked may have been
    /// done. The tables end unlocked in any case; an owned connection is dropped.
    pub fn release(mut self) -> Result<Conn, Error> {
        let mut conn = self.conn.take();
        held::commit(&mut conn).map(|()| conn)
    }

    /// Rolls back, unlocks the tables, puts the session back to what it was, and gives the
    /// connection back.
    ///
    /// # Errors
    ///
    /// Diesel's, for a lost connection: nothing is committed then, either.
    pub fn rollback(mut self) -> Result<Conn, Error> {
        let mut conn = self.conn.take();
        held::roll_back(&mut conn).map(|()| conn)
    }

    /// Commits if the body succeeds. The body's error comes before one of the rollback.
    pub(super) fn run<T, E: From<Error>>(
        mut self,
        body: impl FnOnce(&mut MysqlConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        match body(&mut self) {
            Ok(value) => {
                self.release()?;
                Ok(value)
            }
            Err(error) => {
                drop(self);
                Err(error)
            }
        }
    }
}

impl<Conn> Drop for TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take_if_whole() {
            let released = held::roll_back(&mut conn);
            trace::dropped("table lock", None, released);
        }
    }
}

impl<Conn> Deref for TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    type Target = MysqlConnection;

    fn deref(&self) -> &MysqlConnection {
        self.conn.get()
    }
}

impl<Conn> DerefMut for TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn deref_mut(&mut self) -> &mut MysqlConnection {
        self.conn.get_mut()
    }
}

impl<Conn> fmt::Debug for TableLockGuard<Conn>
where
    Conn: DerefMut<Target = MysqlConnection>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableLockGuard").finish_non_exhaustive()
    }
}
