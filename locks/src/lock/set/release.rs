//! Releases sets of named locks.

use crate::error::Error;
use crate::lock::release::release_once;
use crate::lock::resolve::error_for;
use crate::name::FullName;
use crate::server_error::{ErrorKind, ServerError, retry_or_close};
use crate::statement::named::{MOST_NAMES, SetFunction, release_set_as_text};
use crate::wire::Wire;

/// The names of a set, as errors and `tracing` show them.
pub(in crate::lock) fn list(names: &[FullName]) -> String {
    let names: Vec<_> = names.iter().map(FullName::as_str).collect();
    names.join(", ")
}

/// Whether the connection held all of the locks until now. All of them are released.
pub(in crate::lock) async fn release_set(
    names: &[FullName],
    conn: &mut impl Wire,
) -> Result<bool, Error> {
    let mut released = Ok(true);
    for part in names.chunks(MOST_NAMES) {
        let of_part = release_part(part, conn).await;
        released = match (released, of_part) {
            (Ok(all), Ok(of_part)) => Ok(all && of_part),
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
    }
    released
}

async fn release_part(names: &[FullName], conn: &mut impl Wire) -> Result<bool, Error> {
    let (first, others) = match names {
        [] => return Ok(true),
        [name] => return release_once(name, conn).await,
        [first, others @ ..] => (first, others),
    };
    let error = match conn.call(&SetFunction::release(first, others)).await {
        Ok(were_held) => return Ok(were_held),
        Err(error) => error,
    };
    let error = ServerError::diagnose(error, conn).await;
    if error.kind != ErrorKind::ConnectionLost {
        // Interrupted, perhaps after they were released. If they are still held, they were held to
        // the end.
        if let Ok(true) = conn.call(&SetFunction::release(first, others)).await {
            return Ok(true);
        }
        retry_or_close(conn, &release_set_as_text(names)).await?;
    }
    Err(error_of_set(names, error))
}

/// Whether the connection holds all of the locks.
pub(in crate::lock) async fn holds_set(
    names: &[FullName],
    conn: &mut impl Wire,
) -> Result<bool, Error> {
    for names in names.chunks(MOST_NAMES) {
        let [first, others @ ..] = names else { continue };
        match conn.call(&SetFunction::inspect(first, others)).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                return Err(error_of_set(names, ServerError::diagnose(error, conn).await));
            }
        }
    }
    Ok(true)
}

pub(super) fn error_of_set(names: &[FullName], error: ServerError) -> Error {
    match (error.kind, names) {
        (ErrorKind::StrictMode, [first, ..]) => error_for(first, error),
        _ => error.into_error(&list(names)),
    }
}
