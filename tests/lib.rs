//! Integration tests of diesel-locks: one binary, a module for each subject.
// A test says what it expects by unwrapping it, and its name is its documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[cfg(test)]
mod blockers;
#[cfg(test)]
mod compile_fail;
#[cfg(test)]
mod cut_connections;
#[cfg(test)]
mod derive;
mod documentation;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod held_locks;
#[cfg(test)]
mod load;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod named_lock_faults;
#[cfg(test)]
mod named_lock_names;
#[cfg(test)]
mod named_lock_storms;
#[cfg(test)]
mod named_lock_timeouts;
#[cfg(test)]
mod named_lock_transactions;
#[cfg(test)]
mod named_locks;
#[cfg(test)]
mod owned_guards;
#[cfg(test)]
mod question_storms;
#[cfg(test)]
mod random_names;
#[cfg(test)]
mod round_trips;
#[cfg(test)]
mod server_inspect;
#[cfg(test)]
mod server_restart;
#[cfg(test)]
mod server_settings;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod state_machine;
#[cfg(test)]
mod support;
#[cfg(test)]
mod table_checks;
#[cfg(test)]
mod table_lock_cuts;
#[cfg(test)]
mod table_lock_deadlocks;
#[cfg(test)]
mod table_lock_exclusion;
#[cfg(test)]
mod table_lock_faults;
#[cfg(test)]
mod table_lock_limits;
#[cfg(test)]
mod table_lock_names;
#[cfg(test)]
mod table_lock_owned;
#[cfg(test)]
mod table_lock_round_trips;
#[cfg(test)]
mod table_lock_session;
#[cfg(test)]
mod table_lock_storms;
#[cfg(test)]
mod table_lock_transactions;
#[cfg(test)]
mod table_locks;
#[cfg(test)]
mod tracing;
#[cfg(test)]
mod waiters;
#[cfg(test)]
mod with_lock;
#[cfg(test)]
mod with_lock_shapes;
#[cfg(test)]
mod with_table_lock;
