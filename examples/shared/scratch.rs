//! A temporary database.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;

/// A temporary database, dropped with this value.
#[derive(Debug)]
pub struct Scratch {
    server: String,
    name: String,
}

impl Scratch {
    /// Creates a database on the server of this URL. A database named in the URL is not used.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, or the user may not create databases.
    pub fn create(server: &str, purpose: &str) -> ConnectionResult<Self> {
        let name = format!("{purpose}_{}", std::process::id());
        let mut conn = MysqlConnection::establish(&with_database(server, ""))?;
        conn.batch_execute(&format!("CREATE DATABASE `{name}`"))
            .map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(Self { server: server.to_owned(), name })
    }

    /// Returns the name of the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the URL of the database.
    #[must_use]
    pub fn url(&self) -> String {
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
            eprintln!("cannot drop the database {}: {error}", self.name);
        }
    }
}

/// Replaces the database in a URL; host and options stay.
fn with_database(url: &str, database: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, None), |(a, o)| (a, Some(o)));
    let (scheme, rest) = address.split_once("://").unwrap_or(("mysql", address));
    let host = rest.split('/').next().unwrap_or_default();
    let options = options.map_or_else(String::new, |options| format!("?{options}"));
    format!("{scheme}://{host}/{database}{options}")
}
