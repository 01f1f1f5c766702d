//! Acquires a set of named locks, and runs bodies under it.

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::LockSet;
use super::hold::{hold_set, hold_set_and_begin, try_hold_set};
use crate::connection::{LockConnection, mysql};
use crate::error::{AcquireOwnedError, Error};
use crate::lock::{HeldLock, HeldTransaction, LockGuard};
use crate::scope::Scope;
use crate::wire::{abandon_on_panic, now};

impl LockSet {
    /// Acquires all of the locks, waiting up to the timeout for all of them together. Dropping the
    /// guard releases them immediately.
    ///
    /// One round trip if all of them are free and the set has up to eight names, and another to
    /// release them; one more each for up to 64 names. The first use of a number of names on a
    /// connection prepares the statement, which is one more. If one of the locks is busy, the
    /// others cost about two round trips for each time that the set can be halved, and releasing
    /// them after a timeout costs one more. A name that MySQL would refuse is acquired alone, on
    /// MariaDB too.
    ///
    /// ```no_run
    /// # use diesel::prelude::*;
    /// # use diesel_locks::Lock;
    /// # fn import(_: &mut MysqlConnection) -> QueryResult<()> { Ok(()) }
    /// # fn run(conn: &mut MysqlConnection) -> Result<(), diesel_locks::Error> {
    /// let mut guard = Lock::all(["customers", "invoices"]).acquire(conn)?;
    /// import(&mut guard)?;
    /// guard.release()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Error::Timeout`] if another connection held one of the locks until the timeout. It names
    ///   that lock and its holder.
    /// - [`Error::Deadlock`] if this connection held another lock before, for which the holder of
    ///   one of these waits.
    /// - [`Error::NoNames`] if the set is empty.
    /// - Otherwise the same as [`Lock::acquire`](crate::Lock::acquire).
    ///
    /// After an error the connection holds none of the locks, other than those that it held before.
    pub fn acquire<'c, Conn>(&self, conn: &'c mut Conn) -> Result<LockGuard<&'c mut Conn>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        let held = self.hold(mysql(conn)?)?;
        Ok(LockGuard::new(conn, held))
    }

    /// Acquires all of the locks if all are free. Returns `None` if another connection holds one of
    /// them; none is held then.
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), except that it never returns [`Error::Timeout`].
    pub fn try_acquire<'c, Conn>(
        &self,
        conn: &'c mut Conn,
    ) -> Result<Option<LockGuard<&'c mut Conn>>, Error>
    where
        Conn: LockConnection + ?Sized,
    {
        let held = self.try_hold(mysql(conn)?)?;
        Ok(held.map(|held| LockGuard::new(conn, held)))
    }

    /// The same as [`acquire`](Self::acquire), for a guard that owns its connection: see
    /// [`Lock::acquire_owned`](crate::Lock::acquire_owned).
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire), with the connection.
    pub fn acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<LockGuard<Conn>, AcquireOwnedError<Conn>>
    where
        Conn: LockConnection,
    {
        match mysql(&mut conn).and_then(|conn| self.hold(conn)) {
            Ok(held) => Ok(LockGuard::new(conn, held)),
            Err(error) => Err(AcquireOwnedError::new(error, conn)),
        }
    }

    /// The same as [`try_acquire`](Self::try_acquire), for a guard that owns its connection: see
    /// [`Lock::try_acquire_owned`](crate::Lock::try_acquire_owned).
    ///
    /// # Errors
    ///
    /// The same as [`try_acquire`](Self::try_acquire), with the connection.
    pub fn try_acquire_owned<Conn>(
        &self,
        mut conn: Conn,
    ) -> Result<Option<LockGuard<Conn>>, AcquireOwnedError<Conn>>
    where
        Conn: LockConnection,
    {
        match mysql(&mut conn).and_then(|conn| self.try_hold(conn)) {
            Ok(held) => Ok(held.map(|held| LockGuard::new(conn, held))),
            Err(error) => Err(AcquireOwnedError::new(error, conn)),
        }
    }

    /// Runs the body under the locks. They are released when the body returns, by an error too, or
    /// panics.
    ///
    /// # Errors
    ///
    /// If the body fails, its error is returned. Otherwise the errors are those of
    /// [`acquire`](Self::acquire) and [`LockGuard::release`]: if one of the locks was no longer
    /// held at the end of the body, its work was not exclusive, and [`Error::NotHeld`] is returned.
    pub fn with<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: LockConnection + ?Sized,
        E: From<DieselError>,
    {
        let held = mysql(conn).and_then(|conn| self.hold(conn)).map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    /// The same as [`with`](Self::with), except that it does not wait: it returns `None` if another
    /// connection holds one of the locks.
    ///
    /// # Errors
    ///
    /// The same as [`with`](Self::with), except that it never returns [`Error::Timeout`].
    pub fn try_with<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<Option<T>, E>
    where
        Conn: LockConnection + ?Sized,
        E: From<DieselError>,
    {
        match mysql(conn).and_then(|conn| self.try_hold(conn)).map_err(DieselError::from)? {
            Some(held) => Scope::new(conn, held).run(body).map(Some),
            None => Ok(None),
        }
    }

    /// Runs the body in a transaction under the locks, and releases them after its commit: see
    /// [`Lock::transaction`](crate::Lock::transaction).
    ///
    /// # Errors
    ///
    /// The same as [`acquire`](Self::acquire) and
    /// [`Lock::transaction`](crate::Lock::transaction).
    pub fn transaction<Conn, T, E>(
        &self,
        conn: &mut Conn,
        body: impl FnOnce(&mut Conn) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: LockConnection + ?Sized,
        E: From<DieselError>,
    {
        let held =
            mysql(conn).and_then(|conn| self.hold_and_begin(conn)).map_err(DieselError::from)?;
        Scope::new(conn, held).run(body)
    }

    fn hold(&self, conn: &mut MysqlConnection) -> Result<HeldLock, Error> {
        abandon_on_panic(conn, |conn| now(hold_set(self, conn)))
    }

    fn try_hold(&self, conn: &mut MysqlConnection) -> Result<Option<HeldLock>, Error> {
        abandon_on_panic(conn, |conn| now(try_hold_set(self, conn)))
    }

    fn hold_and_begin(&self, conn: &mut MysqlConnection) -> Result<HeldTransaction, Error> {
        abandon_on_panic(conn, |conn| now(hold_set_and_begin(self, conn)))
    }
}
