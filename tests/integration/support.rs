//! Test helpers: a server, a database for each test, a proxy.

pub(crate) mod cuts;
mod free_port;
pub(crate) mod listings;
pub(crate) mod private_server;
pub(crate) mod proxy;
pub(crate) mod random_names;
pub(crate) mod schema;
pub(crate) mod server;
pub(crate) mod storm;
pub(crate) mod storms;
pub(crate) mod table_checks;
pub(crate) mod user;
mod wait;

use std::panic::resume_unwind;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use diesel::mysql::MysqlConnection;
use diesel_locks::LockGuard;

pub(crate) use self::wait::{PATIENCE, pause, until};

/// The longest time that a test may take that could hang.
const HANGS: Duration = Duration::from_secs(300);

/// Runs the closure in a thread, and fails the test if it does not finish in time.
///
/// The driver can wait forever for rows that never come. Without a watchdog such a fault would stop
/// the suite instead of failing a test.
pub(crate) fn watchdog<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = mpsc::channel();
    let watched = thread::spawn(move || {
        let result = body();
        let _ = done.send(());
        result
    });
    match finished.recv_timeout(HANGS) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("hangs: not finished within {HANGS:?}"),
        // Disconnected: the closure panicked.
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => {
            watched.join().unwrap_or_else(|panic| resume_unwind(panic))
        }
    }
}

/// Leaks the guard, for tests that count what the connection holds.
pub(crate) fn keep(guard: LockGuard<&mut MysqlConnection>) {
    guard.leak();
}

/// Measures a wait that ends when a timeout is reached.
///
/// The wait must never be shorter than the timeout. It may be much longer on a busy machine, but
/// not every time.
pub(crate) fn lasts_as_long_as(timeout: Duration, mut wait: impl FnMut()) {
    const TRIES: usize = 30;
    // Less than the second by which MySQL rounds.
    const SLACK: Duration = Duration::from_millis(700);
    let mut waited = Vec::new();
    while waited.len() < TRIES {
        let started = Instant::now();
        wait();
        let took = started.elapsed();
        assert!(took >= timeout, "waited {took:?}, less than the timeout of {timeout:?}");
        if took < timeout + SLACK {
            return;
        }
        waited.push(took);
    }
    panic!("waited {waited:?} with a timeout of {timeout:?}");
}

const ALONE: &str = "DIESEL_LOCKS_TEST_ALONE";

/// Runs the test's body in a separate process. Use [`alone!`].
///
/// The library remembers the last database of the whole process, so a test that counts round trips
/// must not share its process with tests in other databases.
pub(crate) fn run_alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let (_, test) = test.split_once("::").expect("the path begins with the crate");
    let output = Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--test-threads=1", "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no test has the name {test}: {stdout}");
    print!("{stdout}");
}

/// Defines tests that each run in a separate process.
macro_rules! alone {
    ($($(#[$attribute:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            $crate::support::run_alone(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    )*};
}
pub(crate) use alone;
