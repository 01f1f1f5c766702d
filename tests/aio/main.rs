//! The locks on diesel-async's connection, against a real server, built without the C client
//! library.
// Tests unwrap what they expect, and their names are their documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod attributes;
mod cancellation;
mod environment;
mod fences;
mod hold_at_least;
mod keep_alive;
mod lock_set;
mod migrations;
mod named_lock;
mod round_trips;
mod sending;
mod support;
mod table_lock;
