//! How far the repair is: a bar on a terminal, lines elsewhere.

use std::fmt;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

const STYLE: &str = "{bar:40} {human_pos} of {human_len} rows, {rate} rows/s, {eta} left";

/// A log has a line at least this often while rows are repaired.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    /// For logs, where a bar makes no sense.
    log: Option<Log>,
}

#[derive(Debug)]
struct Log {
    total: usize,
    repaired: usize,
    started: Instant,
    last_line: Instant,
    /// Tenths of the work that are already logged.
    tenths: usize,
}

fn style() -> ProgressStyle {
    let style = ProgressStyle::with_template(STYLE);
    style.unwrap_or_else(|_| ProgressStyle::default_bar()).with_key(
        "rate",
        |state: &ProgressState, text: &mut dyn fmt::Write| {
            // Progress that cannot be written is not shown.
            let _ = write!(text, "{:.0}", state.per_sec());
        },
    )
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        if stderr().is_terminal() {
            let bar =
                ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
            bar.set_style(style());
            // Moves during a long batch too, to show that the program is alive.
            bar.enable_steady_tick(Duration::from_millis(200));
            Self { bar, log: None }
        } else {
            let now = Instant::now();
            let log = Log { total, repaired: 0, started: now, last_line: now, tenths: 0 };
            Self { bar: ProgressBar::hidden(), log: Some(log) }
        }
    }

    pub(crate) fn advance(&mut self, rows: usize) {
        self.bar.inc(rows as u64);
        if let Some(log) = &mut self.log {
            log.advance(rows);
        }
    }
}

/// Clears the bar, so that the next output does not follow it on the same line.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

impl Log {
    fn advance(&mut self, rows: usize) {
        self.repaired += rows;
        let tenths = self.repaired * 10 / self.total;
        if tenths == self.tenths && self.last_line.elapsed() < SILENCE {
            return;
        }
        self.tenths = tenths;
        self.last_line = Instant::now();
        let (repaired, total) = (self.repaired as u128, self.total as u128);
        let elapsed = self.started.elapsed();
        let rate = rate(self.repaired, elapsed);
        let left = elapsed.as_millis() * (total - repaired) / repaired / 1_000;
        eprintln!("{repaired} of {total} rows, {rate} rows/s, {left} s left");
    }
}

/// Rows per second.
pub(crate) fn rate(rows: usize, time: Duration) -> u128 {
    rows as u128 * 1_000 / time.as_millis().max(1)
}
