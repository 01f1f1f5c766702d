//! The locks that a blocking connection holds.

use std::panic::resume_unwind;

use diesel::mysql::MysqlConnection;
use diesel::result::Error as DieselError;

use super::{Ending, Held, ended_after_body, ending, report};
use crate::connection::{GuardedConnection, LockConnection, mysql};
use crate::error::Error;
use crate::wire::{abandon_on_panic, now, swallow_panic};

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

/// Ends what was held during a body.
pub(crate) fn end_after_body(
    held: &impl Held,
    succeeded: bool,
    conn: Found<'_>,
) -> Result<(), Error> {
    ended_after_body(held, succeeded, end(held, ending(succeeded), conn))
}

/// Ends what is held where no caller gets an error, and no panic goes on: in a destructor.
fn end_unseen(held: &impl Held, conn: Found<'_>) {
    if let Some(ended) = swallow_panic(|| end(held, Ending::RollBack, conn)) {
        report(held, ended);
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
