//! How long to wait: the caller's timeout, the server's waits, and the client's own clock.

use std::time::{Duration, Instant};

/// The longest wait asked of the server at once, 49 days and 17 hours: the largest value that the
/// hint `MAX_EXECUTION_TIME` takes (milliseconds, 32 bits), in whole seconds. Longer waits ask
/// again.
const LONGEST_WAIT: Duration = Duration::from_secs(u32::MAX as u64 / 1000);

/// `lock_wait_timeout` takes up to a year on both servers.
const LONGEST_TABLE_WAIT: u64 = 31_536_000;

/// The timeout of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Timeout {
    After(Duration),
    Never,
}

impl Timeout {
    pub(crate) const ZERO: Self = Self::After(Duration::ZERO);

    pub(crate) fn duration(self) -> Option<Duration> {
        match self {
            Self::After(timeout) => Some(timeout),
            Self::Never => None,
        }
    }
}

/// Rounds a timeout for table locks up to what `lock_wait_timeout` takes: whole seconds, from one
/// to a year.
pub(crate) fn table_wait_seconds(timeout: Duration) -> u64 {
    whole_seconds(timeout).clamp(1, LONGEST_TABLE_WAIT)
}

/// Returns the next whole second, never less than the timeout.
pub(crate) fn whole_seconds(timeout: Duration) -> u64 {
    timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0))
}

/// One call's wait, which may take several statements.
#[derive(Debug)]
pub(crate) struct Wait {
    started: Instant,
    timeout: Timeout,
}

/// Why the server stopped waiting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The caller's timeout is reached.
    AtTimeout,
    /// The server waited as long as it was asked to, but the caller's timeout is not reached.
    Early,
    /// Something cut the wait short.
    Interrupted,
}

impl Wait {
    pub(crate) fn start(timeout: Timeout) -> Self {
        Self { started: Instant::now(), timeout }
    }

    /// Returns how long the server is to wait at first.
    pub(crate) fn first(&self) -> Duration {
        self.next(Duration::ZERO)
    }

    /// Returns how long the server is to wait for the rest.
    pub(crate) fn rest(&self) -> Duration {
        self.next(self.started.elapsed())
    }

    /// Returns the rest, as the timeout of another wait.
    pub(crate) fn remaining(&self) -> Timeout {
        match self.timeout {
            Timeout::After(timeout) => {
                Timeout::After(timeout.saturating_sub(self.started.elapsed()))
            }
            Timeout::Never => Timeout::Never,
        }
    }

    fn next(&self, elapsed: Duration) -> Duration {
        match self.timeout {
            Timeout::After(timeout) => timeout.saturating_sub(elapsed).min(LONGEST_WAIT),
            Timeout::Never => LONGEST_WAIT,
        }
    }

    /// Judges a wait of the server, which was asked for that long and began at `started`.
    pub(crate) fn stopped(&self, server_wait: Duration, started: Instant) -> Stopped {
        judge(self.timeout, self.started.elapsed(), server_wait, started.elapsed())
    }
}

fn judge(timeout: Timeout, elapsed: Duration, server_wait: Duration, waited: Duration) -> Stopped {
    // The server's clock may be slewed while the client's is not; the kernel slews by 500 parts in
    // a million at most, on either side.
    let drift = server_wait / 1000;
    match timeout {
        Timeout::After(timeout) if elapsed >= timeout => Stopped::AtTimeout,
        _ if waited + drift >= server_wait => Stopped::Early,
        _ => Stopped::Interrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_timeout_is_reached_by_the_clients_clock_only() {
        let timeout = Timeout::After(10 * SECOND);
        let judge = |elapsed| judge(timeout, elapsed, 10 * SECOND, elapsed);
        assert_eq!(judge(10 * SECOND), Stopped::AtTimeout);
        assert_eq!(judge(Duration::from_millis(9_995)), Stopped::Early);
        assert_eq!(judge(9 * SECOND), Stopped::Interrupted);
    }

    #[test]
    fn a_wait_longer_than_the_server_takes_goes_on_after_the_longest_one() {
        for timeout in [Timeout::Never, Timeout::After(Duration::MAX)] {
            let wait = Wait::start(timeout);
            assert_eq!(wait.first(), LONGEST_WAIT);
            assert_eq!(wait.rest(), LONGEST_WAIT);
            let waited = LONGEST_WAIT;
            assert_eq!(judge(timeout, waited, LONGEST_WAIT, waited), Stopped::Early);
            assert_eq!(judge(timeout, SECOND, LONGEST_WAIT, SECOND), Stopped::Interrupted);
        }
    }

    #[test]
    fn a_long_wait_is_shortened_by_the_time_elapsed() {
        let timeout = Timeout::After(LONGEST_WAIT + 10 * SECOND);
        let wait = Wait::start(timeout);
        assert_eq!(wait.next(LONGEST_WAIT), 10 * SECOND);
        assert_eq!(wait.next(LONGEST_WAIT + 11 * SECOND), Duration::ZERO);
    }

    #[test]
    fn seconds_are_rounded_up_and_clamped() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
        assert_eq!(table_wait_seconds(Duration::ZERO), 1);
        assert_eq!(table_wait_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(table_wait_seconds(Duration::MAX), 31_536_000);
    }
}
