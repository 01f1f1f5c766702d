//! Futures that can be sent to other threads: these functions only have to compile.
//!
//! An error here reads "implementation of `Send` is not general enough" or "future cannot be sent
//! between threads safely".

mod handlers;
mod shapes;

/// Fails to compile if the value cannot be sent to another thread, and lives as long as that needs.
fn spawned<F>(future: F)
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    drop(future);
}

fn sent(future: impl Future + Send) {
    drop(future);
}
