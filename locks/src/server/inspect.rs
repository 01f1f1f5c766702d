//! Inspects the server itself.

use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::QueryResult;

use super::variables::Variables;
use crate::error::Error;
use crate::server_error::{ErrorKind, ServerError};
use crate::statement::server::{Autocommit, InspectServer};
use crate::wire::Wire;

/// Whether the user of the last inspection may not read `performance_schema`: the guess for the
/// next one, so that either kind of user is served with one query.
static REFUSED: AtomicBool = AtomicBool::new(false);

const WHAT: &str = "the inspection of the server";

pub(crate) async fn inspect(conn: &mut impl Wire) -> Result<Variables, Error> {
    let mut failed = None;
    if !REFUSED.load(Ordering::Relaxed) {
        let (guess, text) = InspectServer::guess();
        match load(guess, conn).await {
            Ok(variables) if variables.is_complete() => return Ok(variables),
            Ok(_) => {}
            // The reason shows in what follows.
            Err(_) => failed = Some(text),
        }
    }
    // Inside a transaction that Diesel knows, none is begun.
    let autocommit =
        if matches!(conn.depth(), Ok(0)) { has_autocommit(conn).await } else { Ok(true) };
    if let (Some(text), Err(_) | Ok(false)) = (failed, &autocommit) {
        text.retire();
    }
    if !autocommit? {
        // What follows would begin a transaction, and it may not be known whether one is open.
        return inspect_without_autocommit(conn).await;
    }
    let unprivileged = load_retried(InspectServer::unprivileged, conn).await;
    if let Some(text) = failed {
        let lacks_privilege =
            matches!(&unprivileged, Ok(all) if all.is_complete() && !all.is_readable());
        if !lacks_privilege {
            text.retire();
        }
    }
    match unprivileged {
        Ok(variables) if variables.is_complete() => add_privileged(variables, conn).await,
        other => fall_back(other, conn).await,
    }
}

async fn has_autocommit(conn: &mut impl Wire) -> Result<bool, Error> {
    match conn.row(Autocommit::new()).await {
        Ok(autocommit) => Ok(autocommit),
        Err(error) => Err(ServerError::diagnose(error, conn).await.into_error(WHAT)),
    }
}

async fn inspect_without_autocommit(conn: &mut impl Wire) -> Result<Variables, Error> {
    let refused = match load_retried(InspectServer::privileged, conn).await {
        Ok(variables) if variables.is_complete() => return Ok(variables),
        other => other,
    };
    let tables_locked = match &refused {
        Err(error) => match error.kind {
            ErrorKind::TableNotLocked => true,
            ErrorKind::Other | ErrorKind::NoPrivilege => false,
            _ => return fall_back(refused, conn).await,
        },
        Ok(_) => return fall_back(refused, conn).await,
    };
    match load_retried(InspectServer::plain, conn).await {
        Ok(variables) if variables.is_complete() => Ok(variables.on_connection(tables_locked)),
        other => fall_back(other, conn).await,
    }
}

/// Where `performance_schema` cannot be read, because tables are locked, it is off, or there is
/// none.
async fn fall_back(
    failed: Result<Variables, ServerError>,
    conn: &mut impl Wire,
) -> Result<Variables, Error> {
    let tables_locked = match failed {
        // It is off on MySQL, and has no variables.
        Ok(_) => false,
        Err(error) => match error.kind {
            ErrorKind::TableNotLocked => true,
            // A third-party server, which has no such tables.
            ErrorKind::Other | ErrorKind::NoPrivilege => false,
            // Falling back to the variables alone would wrongly report lock listings as
            // unsupported.
            _ => return Err(error.into_error(WHAT)),
        },
    };
    match load(InspectServer::variables_only(), conn).await {
        Ok(variables) => Ok(variables.on_connection(tables_locked)),
        Err(error) => Err(ServerError::diagnose(error, conn).await.into_error(WHAT)),
    }
}

/// Adds what the privileged may read, if this user is one.
async fn add_privileged(variables: Variables, conn: &mut impl Wire) -> Result<Variables, Error> {
    let readable = variables.is_readable();
    REFUSED.store(!readable, Ordering::Relaxed);
    if !readable {
        return Ok(variables);
    }
    match load_retried(InspectServer::privileged, conn).await {
        Ok(all) => Ok(all),
        Err(error) => match error.kind {
            ErrorKind::TableNotLocked => Ok(variables.on_connection(true)),
            // A privilege that does not reach as far as the others.
            ErrorKind::Other | ErrorKind::NoPrivilege => Ok(variables.without_privilege()),
            _ => Err(error.into_error(WHAT)),
        },
    }
}

/// Tries once more what is refused: MySQL also refuses a query that is killed while it waits to
/// check a privilege.
async fn load_retried(
    query: fn() -> InspectServer,
    conn: &mut impl Wire,
) -> Result<Variables, ServerError> {
    let mut is_retry = false;
    loop {
        let error = match load(query(), conn).await {
            Ok(variables) => return Ok(variables),
            Err(error) => ServerError::diagnose(error, conn).await,
        };
        if is_retry || !matches!(error.kind, ErrorKind::Other | ErrorKind::NoPrivilege) {
            return Err(error);
        }
        is_retry = true;
    }
}

async fn load(query: InspectServer, conn: &mut impl Wire) -> QueryResult<Variables> {
    Ok(Variables::read(conn.rows(query).await?))
}
