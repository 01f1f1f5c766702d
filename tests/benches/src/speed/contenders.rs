//! The ways to do one thing, side by side.

mod awaited;
mod databases;
mod hand_off;
mod inspect;
mod named;
mod python;
mod tables;
mod transactions;

use std::time::{Duration, Instant};

use diesel::connection::Connection;
use diesel::mysql::MysqlConnection;

pub(crate) use self::awaited::{awaited_named, awaited_tables};
pub(crate) use self::databases::{databases, other};
pub(crate) use self::hand_off::hand_off;
pub(crate) use self::inspect::inspect;
pub(crate) use self::named::named;
pub(crate) use self::tables::{TABLE, tables};
pub(crate) use self::transactions::transactions;
use crate::proxy::Proxy;

/// One way: warm connections, each for itself, and a closure that does the thing several times, and
/// returns how long that took.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut(u64) -> Duration>,
    /// Whether all that it sends and computes, and nothing else, is part of the thing.
    pub(crate) is_countable: bool,
    /// The process that does it, if that is another one.
    pub(crate) helper: Option<u32>,
}

impl Contender {
    fn new(name: &'static str, mut once: impl FnMut() + 'static) -> Self {
        let run = move |times| {
            let started = Instant::now();
            for _ in 0..times {
                once();
            }
            started.elapsed()
        };
        Self { name, run: Box::new(run), is_countable: true, helper: None }
    }

    fn timed(name: &'static str, run: impl FnMut(u64) -> Duration + 'static) -> Self {
        Self { name, run: Box::new(run), is_countable: false, helper: None }
    }
}

fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// What the library sends: recorded, so that the contenders that send the same always do.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The statements that were prepared.
    pub(crate) prepared: Vec<String>,
    /// The batches.
    pub(crate) queries: Vec<String>,
}

impl Sent {
    pub(crate) fn record(proxy: &Proxy, body: impl FnOnce()) -> Self {
        let mut sent = Self::default();
        for request in proxy.record(body) {
            if let Some(sql) = request.strip_prefix("prepare: ") {
                sent.prepared.push(sql.to_owned());
            } else if let Some(sql) = request.strip_prefix("query: ") {
                sent.queries.push(sql.to_owned());
            }
        }
        sent
    }
}
