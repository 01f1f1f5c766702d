//! A short job, without a table that says whether it is done.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::with_lock;

/// Sends the digest, and returns `false` if another machine does or has just done so.
///
/// It takes a few milliseconds, so that one machine may have released the lock before the next one
/// has started. Held for longer than the clocks of the machines differ, the lock keeps all of them
/// out.
#[with_lock("digest", if_busy = Ok(false), hold_at_least = at_least)]
pub(crate) fn send(conn: &mut MysqlConnection, at_least: Duration) -> QueryResult<bool> {
    conn.batch_execute("DO SLEEP(0.005)")?; // in place of an email
    println!("sent the digest");
    Ok(true)
}
