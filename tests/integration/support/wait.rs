//! Waiting for changes that a server does not announce.

use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest time that anything may take that happens at once unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Lets other threads run for a moment: for loops that query the state of a server, which sends no
/// signal.
pub(crate) fn pause() {
    let (_open, never) = mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(1));
}

/// Checks again and again, within [`PATIENCE`].
pub(crate) fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let started = Instant::now();
    while !seen() {
        assert!(started.elapsed() < PATIENCE, "waited for {PATIENCE:?}, but never seen: {what}");
        pause();
    }
}
