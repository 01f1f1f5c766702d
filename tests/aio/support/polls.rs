//! Futures that are dropped after a number of polls.

use std::future::poll_fn;
use std::task::Poll;

/// When a future is dropped that is still pending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// Right after its last poll: the answer that it waits for has not come.
    AtOnce,
    /// When it was woken: the answer, or a part of it, has come and is not read.
    WhenWoken,
}

impl Drop {
    pub(crate) const BOTH: [Self; 2] = [Self::AtOnce, Self::WhenWoken];
}

/// Polls a future at most this often, and then drops it. Returns its output if it was ready by
/// then.
///
/// The runtime wakes it between two polls, as any other.
pub(crate) async fn polled<F: Future>(polls: usize, drop: Drop, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 && drop == Drop::AtOnce => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
