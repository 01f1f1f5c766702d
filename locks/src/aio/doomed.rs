//! A connection that is closed unless it is spared.

use std::fmt;
use std::ops::{Deref, DerefMut};

use diesel_async::AsyncMysqlConnection;

use crate::wire::{close_at_once, swallow_panic};

/// A connection in the middle of a conversation, or with a lock. If it is dropped, no one is left
/// to wait for an answer.
pub(crate) struct Doomed<Conn: DerefMut<Target = AsyncMysqlConnection>> {
    /// Taken when it is spared.
    conn: Option<Conn>,
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> Doomed<Conn> {
    pub(crate) fn new(conn: Conn) -> Self {
        Self { conn: Some(conn) }
    }

    pub(crate) fn spare(mut self) -> Conn {
        let Some(conn) = self.conn.take() else { taken() };
        conn
    }
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> Drop for Doomed<Conn> {
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            // A pointer of the caller's own may panic, too.
            swallow_panic(|| {
                close_at_once(&mut conn);
                end_statement(&conn);
            });
            swallow_panic(|| drop(conn));
        }
    }
}

/// How often the server is asked to end a statement.
const TRIES: u32 = 10;

/// Ends the statement that the server may be running, over another connection. While it runs, the
/// server reads nothing else; and it may be waiting for a lock, in a query of the caller's too.
///
/// Repeated until the connection is gone, which is an error: a `KILL QUERY` that comes before the
/// server has read the statement has no effect, and the statement would then wait to its timeout.
fn end_statement(conn: &AsyncMysqlConnection) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let token = conn.cancel_token();
        runtime.spawn(async move {
            for _ in 0..TRIES {
                if token.cancel_query().await.is_err() {
                    return;
                }
            }
        });
    }
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> Deref for Doomed<Conn> {
    type Target = AsyncMysqlConnection;

    fn deref(&self) -> &AsyncMysqlConnection {
        let Some(conn) = &self.conn else { taken() };
        conn
    }
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> DerefMut for Doomed<Conn> {
    fn deref_mut(&mut self) -> &mut AsyncMysqlConnection {
        let Some(conn) = &mut self.conn else { taken() };
        conn
    }
}

impl<Conn: DerefMut<Target = AsyncMysqlConnection>> fmt::Debug for Doomed<Conn> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doomed").finish_non_exhaustive()
    }
}

fn taken() -> ! {
    unreachable!("only methods that consume it take the connection")
}
