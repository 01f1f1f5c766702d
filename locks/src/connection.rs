//! The connections on which locks can be acquired, and what the guards of locks dereference to.

use std::cell::RefMut;
use std::sync::{MutexGuard, RwLockWriteGuard};

use diesel::mysql::MysqlConnection;

use crate::error::Error;

/// A connection on which locks can be acquired: Diesel's [`MysqlConnection`], or a wrapper around
/// one.
///
/// It is implemented for `MysqlConnection`, for `&mut C` and `Box<C>`, for the guards of this
/// library, for the standard library's [`MutexGuard`], [`RwLockWriteGuard`] and [`RefMut`], and,
/// with the feature `r2d2`, for Diesel's pooled connections. The body of a closure or of a function
/// with an attribute gets the connection that the caller passed, under the caller's own type.
///
/// # Implementing it
///
/// A wrapper needs four lines:
///
/// ```
/// use diesel::mysql::MysqlConnection;
/// use diesel_locks::LockConnection;
///
/// struct TenantConnection {
///     tenant: u32,
///     conn: MysqlConnection,
/// }
///
/// impl LockConnection for TenantConnection {
///     fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
///         Some(&mut self.conn)
///     }
/// }
/// ```
///
/// # Contract
///
/// The method always returns the same connection, and that connection's transaction state is also
/// the wrapper's. Two kinds of wrappers break this contract:
///
/// - One that picks any connection of several, for example the next one of a pool. A lock belongs
///   to one connection; it would be acquired on one and released on another, which does not hold
///   it: [`Error::NotHeld`], and the first one keeps the lock.
///
///   ```no_run
///   # use diesel::mysql::MysqlConnection;
///   # use diesel_locks::LockConnection;
///   struct RoundRobin {
///       conns: Vec<MysqlConnection>,
///       next: usize,
///   }
///
///   impl LockConnection for RoundRobin {
///       fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
///           self.next += 1; // wrong: another connection at each call
///           let next = self.next % self.conns.len();
///           self.conns.get_mut(next)
///       }
///   }
///   ```
///
/// - One whose `Connection` implementation has a transaction manager with a separate state, instead
///   of that of the connection inside. Under a table lock it does not know that a transaction is
///   open, so that its `transaction` sends `BEGIN`, which releases the tables.
///   ([`Error::TransactionEnded`] reports it, and nothing more is committed.)
#[diagnostic::on_unimplemented(
    message = "no lock can be acquired on `{Self}`: it is not known to be a MySQL connection",
    label = "not known to be a MySQL connection",
    note = "for a pool, pass one of its connections: `&mut pool.get()?`",
    note = "for a pooled connection, enable the feature `r2d2` of `diesel-locks`, or pass `&mut *conn`",
    note = "for a guard, a box or another reference, pass `&mut *conn`",
    note = "for a connection of diesel-async, use `diesel_locks::aio`, or put the attribute on an `async fn`",
    note = "for a type parameter, require `diesel_locks::LockConnection`, and implement it for wrappers"
)]
pub trait LockConnection {
    /// Returns the MySQL connection inside; `None` if this is a connection to another kind of
    /// database, as the other variants of a [`MultiConnection`](derive@diesel::MultiConnection)
    /// are. Every call that is given one fails with [`Error::Unsupported`].
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection>;
}

impl LockConnection for MysqlConnection {
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        Some(self)
    }
}

macro_rules! forward_to_inner {
    ($($(#[$attribute:meta])* $pointer:ty),* $(,)?) => {$(
        $(#[$attribute])*
        impl<Conn: LockConnection + ?Sized> LockConnection for $pointer {
            fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
                (**self).mysql_connection()
            }
        }
    )*};
}

forward_to_inner!(
    &mut Conn,
    Box<Conn>,
    MutexGuard<'_, Conn>,
    RwLockWriteGuard<'_, Conn>,
    RefMut<'_, Conn>,
);

#[cfg(feature = "r2d2")]
impl<Manager> LockConnection for diesel::r2d2::PooledConnection<Manager>
where
    Manager: diesel::r2d2::ManageConnection,
    Manager::Connection: LockConnection,
{
    fn mysql_connection(&mut self) -> Option<&mut MysqlConnection> {
        (**self).mysql_connection()
    }
}

/// Returns the MySQL connection inside of one.
pub(crate) fn mysql<Conn: LockConnection + ?Sized>(
    conn: &mut Conn,
) -> Result<&mut MysqlConnection, Error> {
    conn.mysql_connection().ok_or_else(|| Error::Unsupported {
        what: "a lock on this connection".to_owned(),
        remedy: "it is not a MySQL connection: `LockConnection::mysql_connection` returned `None`"
            .to_owned(),
    })
}

/// What a guard dereferences to: the connection behind a reference or a box, and otherwise the
/// connection that the guard owns.
pub trait GuardedConnection: LockConnection + sealed::Sealed {
    /// The connection's own type.
    type Target: LockConnection + ?Sized;

    #[doc(hidden)]
    fn target(&self) -> &Self::Target;

    #[doc(hidden)]
    fn target_mut(&mut self) -> &mut Self::Target;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! guards_deref_to {
    ($($(#[$feature:meta])? [$($generics:tt)*] $conn:ty => $target:ty;)*) => {$(
        $(#[$feature])?
        impl<$($generics)*> sealed::Sealed for $conn {}

        $(#[$feature])?
        impl<$($generics)*> GuardedConnection for $conn {
            type Target = $target;

            fn target(&self) -> &$target {
                self
            }

            fn target_mut(&mut self) -> &mut $target {
                self
            }
        }
    )*};
}

guards_deref_to! {
    [Conn: LockConnection + ?Sized] &mut Conn => Conn;
    [Conn: LockConnection + ?Sized] Box<Conn> => Conn;
    [] MysqlConnection => Self;
    #[cfg(feature = "r2d2")]
    [Manager: diesel::r2d2::ManageConnection<Connection: LockConnection>]
    diesel::r2d2::PooledConnection<Manager> => Self;
}
