//! What is held, and the one way to end it: guards, closures and attributes all use it.

#[cfg(feature = "mysql")]
mod blocking;

#[cfg(feature = "mysql")]
pub(crate) use self::blocking::{Scope, end_after_body, end_after_panic};
use crate::error::Error;
use crate::trace;
pub(crate) use crate::transaction::Ending;
use crate::wire::Wire;

/// What a connection holds.
pub(crate) trait Held {
    fn kind(&self) -> &'static str;

    /// Returns the lock's full name, or the tables.
    fn lock(&self) -> &str;

    /// Ends it for certain: if that cannot be done on the connection, the connection is closed.
    async fn end(&self, ending: Ending, conn: &mut impl Wire) -> Result<(), Error>;
}

/// Reports an error of the end that no caller gets.
fn report(held: &impl Held, ended: Result<(), Error>) {
    if let Err(error) = ended {
        trace::warn_of_end(held.kind(), held.lock(), &error);
    }
}

/// The result of ending what was held during a body. The body's own error comes before one of the
/// end, which is then reported to `tracing`.
pub(crate) fn ended_after_body(
    held: &impl Held,
    succeeded: bool,
    ended: Result<(), Error>,
) -> Result<(), Error> {
    if succeeded {
        return ended;
    }
    report(held, ended);
    Ok(())
}

/// How to end what is held after a body.
pub(crate) fn ending(succeeded: bool) -> Ending {
    if succeeded { Ending::Commit } else { Ending::RollBack }
}
