//! The connection to the server, and what happens when it is lost.

use diesel::prelude::*;

use crate::snapshot::{Snapshot, Unseen};

/// Takes snapshots of the server, again and again.
pub(crate) struct Watcher {
    url: String,
    prefix: String,
    conn: Option<MysqlConnection>,
}

impl Watcher {
    pub(crate) fn new(url: String, prefix: String) -> Self {
        Self { url, prefix, conn: None }
    }

    /// Connects first, if there is no connection or the last snapshot failed.
    pub(crate) fn look(&mut self) -> Result<Snapshot, Unseen> {
        let mut conn = match self.conn.take() {
            Some(conn) => conn,
            None => MysqlConnection::establish(&self.url)?,
        };
        let snapshot = Snapshot::take(&mut conn, &self.prefix)?;
        self.conn = Some(conn);
        Ok(snapshot)
    }
}
