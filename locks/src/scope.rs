//! What is held, and the one way to end it: guards, closures and attributes all use it.

use std::panic::resume_unwind;

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use crate::connection::{GuardedConnection, LockConnection, mysql};
use crate::error::Error;
use crate::trace;
pub(crate) use crate::transaction::Ending;
use crate::wire::{Wire, abandon_on_panic, now, swallow_panic};

/// What a connection holds.
pub(crate) trait Held {
    fn kind(&self) -> &'static str;

    /// The lock's full name, or the tables.
    fn lock(&self) -> &str;

    /// Ends it for certain: if that cannot be done on the connection, the connection is closed.
    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error>;
}

/// Something held, and the connection that holds it. Dropping it rolls back and releases.
#[derive(Debug)]
pub(crate) struct Scope<Conn: LockConnection, H: Held> {
    /// Taken by the methods that consume the scope.
    conn: Option<Conn>,
    held: H,
}

impl<Conn: LockConnection, H: Held> Scope<Conn, H> {
    pub(crate) fn new(conn: Conn, held: H) -> Self {
        Self { conn: Some(conn), held }
    }

    pub(crate) fn held(&self) -> &H {
        &self.held
    }

    pub(crate) fn conn(&self) -> &Conn {
        let Some(conn) = &self.conn else { taken() };
        conn
    }

    pub(crate) fn conn_mut(&mut self) -> &mut Conn {
        let Some(conn) = &mut self.conn else { taken() };
        conn
    }

    pub(crate) fn parts(&mut self) -> (&H, &mut Conn) {
        let Some(conn) = &mut self.conn else { taken() };
        (&self.held, conn)
    }

    /// Leaves what is held to the connection.
    pub(crate) fn leak(mut self) -> Conn {
        let Some(conn) = self.conn.take() else { taken() };
        conn
    }

    /// Ends what is held, and returns the connection.
    pub(crate) fn end(mut self, ending: Ending) -> Result<Conn, Error> {
        let Some(mut conn) = self.conn.take() else { taken() };
        end(&self.held, ending, mysql(&mut conn)).map(|()| conn)
    }

    /// Runs the body, and then ends what is held.
    pub(crate) fn run<T, E>(
        mut self,
        body: impl FnOnce(&mut Conn::Target) -> Result<T, E>,
    ) -> Result<T, E>
    where
        Conn: GuardedConnection,
        E: From<DieselError>,
    {
        let result = body(self.conn_mut().target_mut());
        let Some(mut conn) = self.conn.take() else { taken() };
        end_after_body(&self.held, result.is_ok(), mysql(&mut conn)).map_err(DieselError::from)?;
        result
    }
}

impl<Conn: LockConnection, H: Held> Drop for Scope<Conn, H> {
    fn drop(&mut self) {
        if let Some(mut conn) = self.conn.take() {
            // The caller's own wrapper may panic, too.
            swallow_panic(|| end_unseen(&self.held, mysql(&mut conn)));
        }
    }
}

fn taken() -> ! {
    unreachable!("only methods that consume the scope take its connection")
}

type Found<'c> = Result<&'c mut MysqlConnection, Error>;

fn end(held: &impl Held, ending: Ending, conn: Found<'_>) -> Result<(), Error> {
    abandon_on_panic(conn?, |conn| now(held.end(ending, conn)))
}

/// Ends what was held during a body. The body's own error comes before one of the end, which is then
/// reported to `tracing`.
pub(crate) fn end_after_body(
    held: &impl Held,
    succeeded: bool,
    conn: Found<'_>,
) -> Result<(), Error> {
    let ending = if succeeded { Ending::Commit } else { Ending::RollBack };
    let ended = end(held, ending, conn);
    if succeeded {
        return ended;
    }
    report(held, ended);
    Ok(())
}

/// Ends what is held where no caller gets an error, and no panic goes on: in a destructor.
pub(crate) fn end_unseen(held: &impl Held, conn: Found<'_>) {
    if let Some(ended) = swallow_panic(|| end(held, Ending::RollBack, conn)) {
        report(held, ended);
    }
}

fn report(held: &impl Held, ended: Result<(), Error>) {
    if let Err(error) = ended {
        trace::warn_of_end(held.kind(), held.lock(), &error);
    }
}

/// Ends what was held during a body that panicked.
pub(crate) fn end_after_panic(
    held: &impl Held,
    conn: Found<'_>,
    panic: Box<dyn std::any::Any + Send>,
) -> ! {
    end_unseen(held, conn);
    resume_unwind(panic)
}
