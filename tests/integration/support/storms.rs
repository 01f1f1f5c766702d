//! Tests in which another thread kills queries at random moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Numbers the tries: as many as asked for, or as many as a busy machine does within the time.
pub(crate) fn tries(most: u32, time: Duration) -> impl Iterator<Item = u32> {
    let started = Instant::now();
    (0..most).take_while(move |_| started.elapsed() < time)
}

/// Tells another thread to stop, even if this one panics.
pub(crate) struct StopOnDrop<'s>(pub(crate) &'s AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
