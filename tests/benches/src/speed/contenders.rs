//! The ways to take and release one free lock, side by side.

mod named;
mod tables;

use diesel::connection::Connection;
use diesel::mysql::MysqlConnection;

pub(crate) use self::named::named;
pub(crate) use self::tables::{TABLE, tables};
use crate::proxy::Proxy;

/// One way: warm connections, each for itself, and a closure that takes the lock and releases it.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut()>,
}

impl Contender {
    fn new(name: &'static str, run: impl FnMut() + 'static) -> Self {
        Self { name, run: Box::new(run) }
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
