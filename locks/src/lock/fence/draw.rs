//! Draws the next token of a lock that the connection holds.

use std::sync::atomic::{AtomicI64, Ordering};

use diesel::result::Error as DieselError;

use super::error_for;
use crate::error::Error;
use crate::server_error::{
    ErrorKind, ServerError, TableFault, close, connection_lost, retry_or_close,
};
use crate::statement::fence::{self as statements, BeginDraw, Draw, DrawRow, FenceRow, ReadDraw};
use crate::timeout::{Wait, table_wait_seconds};
use crate::wire::Wire;

/// Returns the token, or `None` if an earlier holder's transaction was still open at the timeout.
pub(super) async fn draw(
    row: FenceRow<'_>,
    wait: &Wait,
    conn: &mut impl Wire,
) -> Result<Option<u64>, Error> {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let draw = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    if let Err(error) = conn.execute(BeginDraw::new(draw)).await {
        let failed = ServerError::diagnose(error, conn).await;
        // Nothing was set, unless the answer was lost.
        if failed.kind != ErrorKind::ConnectionLost {
            retry_or_close(conn, &statements::end_draw(draw)).await?;
        }
        return Err(error_for(row, failed));
    }
    let drawn = match insert(row, wait, conn).await {
        Ok(true) => read(draw, row, conn).await,
        Ok(false) => Ok(None),
        Err(error) => Err(error),
    };
    match drawn {
        Ok(Some(Drawn { token, had_autocommit: true })) => Ok(Some(token)),
        Ok(drawn) => {
            retry_or_close(conn, &statements::end_draw(draw)).await?;
            Ok(drawn.map(|drawn| drawn.token))
        }
        Err(error @ Error::ConnectionLost(_)) => Err(error),
        Err(error) => {
            retry_or_close(conn, &statements::end_draw(draw)).await?;
            Err(error)
        }
    }
}

/// How often a draw that is refused for a deadlock is repeated without a wait. A cluster reports a
/// write of another node as one.
const TRIES: u32 = 3;

/// Writes the next token. Returns whether that was possible before the timeout.
async fn insert<W: Wire>(row: FenceRow<'_>, wait: &Wait, conn: &mut W) -> Result<bool, Error> {
    let mut tries = 0;
    let mut seconds = None;
    loop {
        let failed = match attempt(row, seconds, conn).await? {
            // The first token of the name, for which MySQL may have to wait.
            Ok(0) if seconds.is_none() => {
                seconds = Some(table_wait_seconds(wait.rest().min(W::LONGEST_WAIT)));
                continue;
            }
            Ok(0) => return Err(Error::Interrupted { lock: row.name.to_string() }),
            Ok(_) => return Ok(true),
            Err(failed) => failed,
        };
        tries += 1;
        let at_once = match failed.kind {
            ErrorKind::Deadlock => tries < TRIES,
            ErrorKind::WaitTimeout => false,
            // MySQL also refuses a query that is killed while it waits to check a privilege.
            _ if failed.table_fault() == Some(TableFault::Denied) && tries == 1 => true,
            _ => return Err(error_for(row, failed)),
        };
        if !at_once {
            let rest = wait.rest();
            if rest.is_zero() {
                return Ok(false);
            }
            // If the call is dropped and the statement cannot be ended, it ends by itself.
            seconds = Some(table_wait_seconds(rest.min(W::LONGEST_WAIT)));
        }
    }
}

/// Writes the next token, waiting this long for other transactions. Returns the number of rows. If
/// the session's own timeouts cannot be restored, the connection is closed.
async fn attempt(
    row: FenceRow<'_>,
    seconds: Option<u64>,
    conn: &mut impl Wire,
) -> Result<Result<usize, ServerError>, Error> {
    let Some(seconds) = seconds else {
        return Ok(match conn.execute(Draw::at_once(row)).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(ServerError::diagnose(error, conn).await),
        });
    };
    let rows = match conn.batch(&statements::begin_wait(seconds)).await {
        Ok(()) => conn.execute(Draw::waiting(row)).await,
        Err(error) => Err(error),
    };
    let rows = match rows {
        Ok(rows) => Ok(rows),
        Err(error) => Err(ServerError::diagnose(error, conn).await),
    };
    if !matches!(&rows, Err(failed) if failed.kind == ErrorKind::ConnectionLost) {
        retry_or_close(conn, &statements::end_wait()).await?;
    }
    Ok(rows)
}

/// A token, and what the session was before it was drawn.
struct Drawn {
    token: u64,
    had_autocommit: bool,
}

async fn read(draw: i64, row: FenceRow<'_>, conn: &mut impl Wire) -> Result<Option<Drawn>, Error> {
    let read: DrawRow = match conn.row(ReadDraw::new()).await {
        Ok(read) => read,
        Err(error) => return Err(error_for(row, ServerError::diagnose(error, conn).await)),
    };
    match read {
        (Some(token), Some(number), Some(autocommit), _) if number == draw => {
            Ok(Some(Drawn { token, had_autocommit: autocommit != 0 }))
        }
        _ => {
            close(conn).await;
            let reason = "the answer to another request was read instead of a fencing token";
            Err(connection_lost(DieselError::DeserializationError(reason.into())))
        }
    }
}
