//! The connections that have to do with a named lock.

use std::fmt;
use std::time::Duration;

use crate::client::{Client, describe};

/// The connection that holds a named lock, as far as this user may see: without the privilege
/// `PROCESS` most servers tell of other users' connections no more than their number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// What `CONNECTION_ID()` says there; what `KILL` takes.
    pub connection_id: u64,
    /// Its user.
    pub user: Option<String>,
    /// Where it comes from: host and, mostly, port.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// What it is doing: the server's `STATE`, or else its `COMMAND`, such as `Sleep` for one that
    /// holds the lock and does nothing.
    pub state: Option<String>,
    /// How long it has been doing that, in whole seconds.
    pub in_state: Option<Duration>,
    /// The statement that it is running, if it is running one: its first 1024 characters.
    pub statement: Option<String>,
}

impl Holder {
    pub(super) fn new(connection_id: u64, client: Client) -> Self {
        let Client { user, host, database, state, in_state, statement } = client;
        Self { connection_id, user, host, database, state, in_state, statement }
    }
}

/// One line: `connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (self.user.as_deref(), self.host.as_deref());
        describe(f, self.connection_id, user, host, self.database.as_deref())?;
        if let Some(state) = &self.state {
            write!(f, ": {state}")?;
        }
        if let Some(in_state) = self.in_state {
            write!(f, " for {in_state:?}")?;
        }
        Ok(())
    }
}

/// A connection that waits for a named lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// What `CONNECTION_ID()` says there; what `KILL` takes.
    pub connection_id: u64,
    /// Its user.
    pub user: Option<String>,
    /// Where it comes from.
    pub host: Option<String>,
    /// Its default database.
    pub database: Option<String>,
    /// How long it has been waiting, in whole seconds.
    pub waited: Option<Duration>,
    /// The statement by which it waits: its first 1024 characters.
    pub statement: Option<String>,
}

impl Waiter {
    pub(super) fn new(connection_id: u64, client: Client) -> Self {
        let Client { user, host, database, state: _, in_state: waited, statement } = client;
        Self { connection_id, user, host, database, waited, statement }
    }
}

/// One line: `connection 7 of app at 10.0.0.5 in shop: waiting for 3s`.
impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (self.user.as_deref(), self.host.as_deref());
        describe(f, self.connection_id, user, host, self.database.as_deref())?;
        f.write_str(": waiting")?;
        if let Some(waited) = self.waited {
            write!(f, " for {waited:?}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_and_a_waiter_are_one_line() {
        let client = || Client {
            user: Some("app".to_owned()),
            host: Some("10.0.0.5:4711".to_owned()),
            database: Some("shop".to_owned()),
            state: Some("Sleep".to_owned()),
            in_state: Some(Duration::from_secs(12)),
            statement: None,
        };
        assert_eq!(
            Holder::new(7, client()).to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s"
        );
        assert_eq!(
            Waiter::new(7, client()).to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: waiting for 12s"
        );
        assert_eq!(Holder::new(7, Client::default()).to_string(), "connection 7");
        assert_eq!(Waiter::new(7, Client::default()).to_string(), "connection 7: waiting");
    }
}
