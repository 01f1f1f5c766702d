//! Integration tests against a real server, in one binary, in a folder for each subject.
// Tests unwrap what they expect, and their names are their documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod house;
mod support;

/// Named locks.
mod named_lock {
    mod acquire;
    mod databases;
    mod deadlocks;
    mod guard_transactions;
    mod hold_at_least;
    mod in_database;
    mod kill_storms;
    mod kills;
    mod lost_connections;
    mod migrations;
    mod names;
    mod owned_guards;
    mod random_names;
    mod round_trips;
    mod sessions;
    mod timeouts;
    mod transactions;
}

/// Sets of named locks.
mod lock_sets {
    mod acquire;
    mod contention;
    mod databases;
    mod failures;
    mod kill_storms;
    mod names;
    mod round_trips;
}

/// Fenced locks: tokens, and transactions that only the last holder commits.
mod fences {
    mod failures;
    mod names;
    mod refusals;
    mod sessions;
    mod tokens;
    mod transactions;
    mod waits;
}

/// Locks that a thread keeps alive.
mod keep_alive {
    mod kept;
    mod lost;
}

/// Table locks.
mod table_lock {
    mod aliases;
    mod deadlocks;
    mod exclusion;
    mod failures;
    mod kill_storms;
    mod lost_connections;
    mod names;
    mod owned_guards;
    mod random_names;
    mod round_trips;
    mod session;
    mod statement;
    mod timeouts;
    mod transactions;
}

/// The connections and the error types of real programs.
mod connections {
    mod both_drivers;
    mod broken_contract;
    mod error_types;
    mod multi;
    mod pools;
    mod test_transactions;
    mod wrappers;
}

/// Queries about locks and servers.
mod inspect {
    mod autocommit;
    mod blockers;
    mod held_locks;
    mod holder;
    mod kill_storms;
    mod lost_connections;
    mod server;
    mod waiters;
}

/// The attributes and the derive.
mod macros {
    mod compile_fail;
    mod connections;
    mod lints;
    mod lockable_table;
    mod models;
    mod options;
    mod out_of_macros;
    mod shapes;
    mod with_lock;
    mod with_table_lock;
}

/// Servers that stop, and servers with unusual settings.
mod server {
    mod restart;
    mod settings;
}

/// Unusual sessions, bodies and programs around a lock.
mod environment {
    pub(crate) mod character_sets;
    mod databases;
    mod destructors;
    mod ended_transactions;
    mod hidden_errors;
    mod kept_transactions;
    mod panicking_subscribers;
    mod panics;
    mod prepared_statements;
    mod quoted_names;
}

// Both kinds of lock.
mod errors;
mod load;
mod memory;
mod state_machine;
mod tracing;
