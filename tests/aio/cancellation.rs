//! Calls whose futures are dropped: at each poll, on both runtimes, with pools, and on connections
//! that are used again.
//!
//! Afterwards the server holds nothing, and whatever is asked on the same connection is answered
//! right, or fails.

mod calls;
mod drops;
mod kept_connections;
mod own_queries;
mod pools;
mod probes;
mod waits;

use diesel_locks::aio::Lock;

use crate::support::Database;

/// Returns a database with the table of fencing tokens.
async fn database() -> Database {
    let database = Database::create().await;
    Lock::create_fences(&mut database.connect().await).await.unwrap();
    database
}
