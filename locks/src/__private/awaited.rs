//! What the attributes of an `async fn` expand to.
//!
//! The body gets a reborrow of the connection under its name. If the function's future is dropped,
//! the body goes first, and then what is here closes the connection.

use std::ops::{Deref, DerefMut};

use diesel_async::AsyncMysqlConnection;

use super::fallible::Fallible;
use super::held::{Held, What};
use crate::aio::doomed::Doomed;
use crate::lock::hold::{hold, hold_and_begin, try_hold, try_hold_and_begin};
use crate::scope::{Held as _, ended_after_body, ending};
use crate::table_lock::session;
use crate::wire::swallow_panic;
use crate::{Error, Lock, TableLock};

/// Borrows an argument by autoref: a reference, or an owned connection.
pub trait Lend {
    #[doc(hidden)]
    fn __diesel_locks_lend(&mut self) -> &mut Self {
        self
    }
}

impl<T: ?Sized> Lend for T {}

/// Finds the connection by autoderef: behind a reference, a box, in a pooled connection.
pub trait AwaitedPlace {
    #[doc(hidden)]
    fn __diesel_locks_async_connection(&mut self) -> &mut AsyncMysqlConnection;
}

#[diagnostic::do_not_recommend]
impl<Conn: AwaitedConnection + ?Sized> AwaitedPlace for Conn {
    fn __diesel_locks_async_connection(&mut self) -> &mut AsyncMysqlConnection {
        self.connection()
    }
}

/// The one connection that is awaited.
#[diagnostic::on_unimplemented(
    message = "an `async fn` cannot wait for a lock on `{Self}`: it is not an `AsyncMysqlConnection`",
    label = "not an `AsyncMysqlConnection`, and does not dereference to one",
    note = "for a blocking connection, put the attribute on a plain `fn`, and call that with the runtime's \
            function for blocking code, such as `tokio::task::spawn_blocking`"
)]
pub trait AwaitedConnection {
    fn connection(&mut self) -> &mut AsyncMysqlConnection;
}

impl AwaitedConnection for AsyncMysqlConnection {
    fn connection(&mut self) -> &mut AsyncMysqlConnection {
        self
    }
}

type Find<T> = fn(&mut T) -> &mut AsyncMysqlConnection;

/// A borrow of the connection that closes it, unless it is spared.
#[derive(Debug)]
struct Lent<'c, T> {
    conn: Option<&'c mut T>,
    find: Find<T>,
}

impl<T> Lent<'_, T> {
    fn conn(&mut self) -> &mut T {
        let Some(conn) = &mut self.conn else {
            unreachable!("only methods that consume it take the connection")
        };
        conn
    }

    fn found(&mut self) -> &mut AsyncMysqlConnection {
        let find = self.find;
        find(self.conn())
    }

    fn spare(mut self) {
        self.conn = None;
    }
}

impl<T> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            // The caller's own pointer may panic.
            swallow_panic(|| {
                let conn = (self.find)(conn);
                drop(Doomed::new(conn));
            });
        }
    }
}

/// What is to be ended after the body, and the connection that the body borrows.
#[derive(Debug)]
pub struct AwaitedHeld<'c, T> {
    lent: Lent<'c, T>,
    held: Held,
}

impl<'c, T> AwaitedHeld<'c, T> {
    fn new(lent: Lent<'c, T>, held: What) -> Self {
        Self { lent, held: Held(held) }
    }

    pub fn conn(&mut self) -> &mut T {
        self.lent.conn()
    }

    /// For a body that borrows it, as if it still were the value: clippy would report a borrow of a
    /// reference.
    pub fn owned(&mut self) -> Owned<'_, T> {
        Owned(self.lent.conn())
    }
}

/// Stands for a connection that the function owns.
#[derive(Debug)]
pub struct Owned<'h, T>(&'h mut T);

impl<T> Deref for Owned<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}

impl<T> DerefMut for Owned<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0
    }
}

macro_rules! acquiring {
    ($($function:ident: $Description:ty => $hold:path, $what:path;)*) => {$(
        pub async fn $function<'c, T>(
            lock: &$Description,
            conn: &'c mut T,
            find: Find<T>,
        ) -> Result<AwaitedHeld<'c, T>, Error> {
            let mut lent = Lent { conn: Some(conn), find };
            match $hold(lock, lent.found()).await {
                Ok(held) => Ok(AwaitedHeld::new(lent, $what(held))),
                Err(error) => {
                    lent.spare();
                    Err(error)
                }
            }
        }
    )*};
}

macro_rules! trying {
    ($($function:ident: $hold:path, $what:path;)*) => {$(
        pub async fn $function<'c, T>(
            lock: &Lock<'_>,
            conn: &'c mut T,
            find: Find<T>,
        ) -> Result<Option<AwaitedHeld<'c, T>>, Error> {
            let mut lent = Lent { conn: Some(conn), find };
            match $hold(lock, lent.found()).await {
                Ok(Some(held)) => Ok(Some(AwaitedHeld::new(lent, $what(held)))),
                other => {
                    lent.spare();
                    other.map(|_| None)
                }
            }
        }
    )*};
}

acquiring! {
    acquire: Lock<'_> => hold, What::Lock;
    acquire_and_begin: Lock<'_> => hold_and_begin, What::Transaction;
    lock_tables: TableLock => session::hold, What::Tables;
}

trying! {
    try_acquire: try_hold, What::Lock;
    try_acquire_and_begin: try_hold_and_begin, What::Transaction;
}

/// How to end what is held after a body, of whatever type its result is. It keeps functions, so
/// that only [`held`] asks for the trait: a function that returns something else gets one message.
#[derive(Debug)]
pub struct End<R> {
    succeeded: fn(&R) -> bool,
    failed: fn(Error) -> R,
}

/// Returns what is held, and how to end it; otherwise what the function returns.
pub fn held<R: Fallible, H>(held: Result<H, Error>) -> Result<(H, End<R>), R> {
    match held {
        Ok(held) => Ok((held, End { succeeded: R::succeeded, failed: R::failed })),
        Err(error) => Err(R::failed(error)),
    }
}

/// Says what the body returns, so that its `?` know what to convert to.
pub async fn body<R>(body: impl Future<Output = R>) -> R {
    body.await
}

impl<R> End<R> {
    /// Ends what is held, and returns what the body returned.
    pub async fn after<T>(self, held: AwaitedHeld<'_, T>, result: R) -> R {
        let AwaitedHeld { mut lent, held } = held;
        let succeeded = (self.succeeded)(&result);
        let ended = held.end(ending(succeeded), lent.found()).await;
        lent.spare();
        match ended_after_body(&held, succeeded, ended) {
            Ok(()) => result,
            Err(error) => (self.failed)(error),
        }
    }
}
