//! A database of its own for a demonstration, gone when it ends.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

/// Dropped with its database.
pub(crate) struct Scratch {
    server: String,
    name: String,
}

impl Scratch {
    /// Makes a database on the server of this URL; what database the URL names does not matter.
    pub(crate) fn create(server: &str, purpose: &str) -> Result<Self, Box<dyn std::error::Error>> {
        let name = format!("{purpose}_{}", std::process::id());
        let mut conn = MysqlConnection::establish(&with_database(server, ""))?;
        conn.batch_execute(&format!("CREATE DATABASE `{name}`"))?;
        Ok(Self { server: server.to_owned(), name })
    }

    pub(crate) fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let dropped = MysqlConnection::establish(&with_database(&self.server, ""))
            .map_err(|error| error.to_string())
            .and_then(|mut conn| {
                conn.batch_execute(&format!("DROP DATABASE `{}`", self.name))
                    .map_err(|error| error.to_string())
            });
        if let Err(error) = dropped {
            eprintln!("the database {} is left behind: {error}", self.name);
        }
    }
}

/// The same server and options, another database.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(a, o)| (a, Some(o)));
    let (scheme, rest) = address.split_once("://").unwrap_or(("mysql", address));
    let host = rest.split('/').next().unwrap_or_default();
    let options = options.map_or_else(String::new, |options| format!("?{options}"));
    format!("{scheme}://{host}/{database}{options}")
}
