//! Calls whose futures are dropped: at each poll, on both runtimes, with pools, and on connections that
//! are used again.
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
