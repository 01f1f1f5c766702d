//! A database for each test, connections, and what the server holds.

mod database;
mod listings;
mod polls;
mod proxy;
mod server;

use std::process::Command;
use std::time::{Duration, Instant};

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Unsigned};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};
use diesel_locks::aio::LockGuard;
use tokio::time::timeout;

pub(crate) use self::database::Database;
pub(crate) use self::listings::Listings;
pub(crate) use self::polls::{Drop, polled};
pub(crate) use self::proxy::Proxy;
pub(crate) use self::server::{Admin, is_mysql};

/// The longest time that anything may take that happens at once unless something is wrong. Less
/// than the minute after which a wait ends by itself.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// Checks again and again, within [`PATIENCE`]: the server sends no signal.
pub(crate) async fn until(what: &str, mut seen: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !seen().await {
        assert!(started.elapsed() < PATIENCE, "waited for {PATIENCE:?}, but never seen: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Fails if the future takes longer than [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(output) = timeout(PATIENCE, future).await else {
        panic!("{what} was not done within {PATIENCE:?}");
    };
    output
}

/// Leaks the guard, which would otherwise close the connection.
pub(crate) fn keep(guard: LockGuard<&mut AsyncMysqlConnection>) {
    guard.leak();
}

#[derive(diesel::QueryableByName)]
pub(crate) struct Number {
    #[diesel(sql_type = Unsigned<BigInt>)]
    n: u64,
}

/// Returns the value of an expression, by a statement that is not cached.
pub(crate) async fn number(expression: &str, conn: &mut AsyncMysqlConnection) -> QueryResult<u64> {
    let query = diesel::sql_query(format!("SELECT CAST({expression} AS UNSIGNED) AS n"));
    query.get_result::<Number>(conn).await.map(|number| number.n)
}

pub(crate) async fn connection_id(conn: &mut AsyncMysqlConnection) -> u64 {
    number("CONNECTION_ID()", conn).await.unwrap()
}

/// Defines a test for each of tokio's runtimes.
macro_rules! on_both_runtimes {
    ($($(#[$attribute:meta])* async fn $name:ident() $body:block)*) => {$(
        mod $name {
            use super::*;

            $(#[$attribute])*
            async fn run() $body

            #[tokio::test]
            async fn on_one_thread() {
                run().await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn on_several_threads() {
                run().await;
            }
        }
    )*};
}
pub(crate) use on_both_runtimes;

const ALONE: &str = "DIESEL_LOCKS_TEST_ALONE";

/// Runs the test's body in a separate process. Use [`alone!`].
///
/// The library remembers the last database of the whole process, so a test that counts round trips
/// must not share its process with others.
pub(crate) fn run_alone(test: &str, body: impl Future<Output = ()>) {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        return runtime.unwrap().block_on(body);
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
    ($($(#[$attribute:meta])* async fn $name:ident() $body:block)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $name() {
            let test = concat!(module_path!(), "::", stringify!($name));
            $crate::support::run_alone(test, async { $body });
        }
    )*};
}
pub(crate) use alone;
