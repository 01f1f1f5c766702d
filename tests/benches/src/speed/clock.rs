//! How the time is measured that something takes.

use std::time::Duration;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    /// The time that passes.
    Wall,
    /// The processor time of this program, of the server, which is the process with this number,
    /// and of others that take part. It hardly depends on what else the machine does.
    Processor { server: u32 },
}

impl Clock {
    /// What `run` takes. It returns the time that has passed, as far as that is part of the thing.
    pub(crate) fn measure(self, others: Option<u32>, run: impl FnOnce() -> Duration) -> Duration {
        let Self::Processor { server } = self else { return run() };
        let processes = || [Some(std::process::id()), Some(server), others].into_iter().flatten();
        let before: Duration = processes().map(used_by).sum();
        run();
        let after: Duration = processes().map(used_by).sum();
        after.checked_sub(before).expect("time goes on")
    }
}

/// Returns the processor time of a process, with that of threads that have ended.
fn used_by(process: u32) -> Duration {
    let process = process.try_into().expect("the ID of a process");
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both functions write to the one place that they are given.
    let failed = unsafe {
        libc::clock_getcpuclockid(process, &raw mut clock) != 0
            || libc::clock_gettime(clock, &raw mut time) != 0
    };
    assert!(!failed, "process {process} does not live");
    let (seconds, nanoseconds) = (time.tv_sec.try_into(), time.tv_nsec.try_into());
    Duration::new(seconds.expect("not negative"), nanoseconds.expect("not negative"))
}
