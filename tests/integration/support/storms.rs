//! Tests in which another thread kills queries at random moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Numbers the tries: at most this many, and fewer on a machine that is too busy to make them in
/// time.
pub(crate) fn tries(most: u32, time: Duration) -> impl Iterator<Item = u32> {
    let started = Instant::now();
    (0..most).take_while(move |_| started.elapsed() < time)
}

/// Stops another thread when dropped, even by a panic.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
