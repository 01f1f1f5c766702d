//! The connections that hold a named lock, or wait for it.

use std::fmt;

use crate::process::Process;

/// The connection that holds a named lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The connection, as far as this user may see.
    pub process: Process,
}

/// One line: `connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

/// A connection that waits for a named lock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// The connection, as far as this user may see. Its `in_state` is how long it has been waiting.
    pub process: Process,
}

/// One line: `connection 7 of app at 10.0.0.5 in shop: waiting for 3s`.
impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.write_identity(f)?;
        f.write_str(": waiting")?;
        self.process.write_in_state(f)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_holder_and_a_waiter_are_one_line() {
        let process = Process {
            id: 7,
            user: Some("app".to_owned()),
            host: Some("10.0.0.5:4711".to_owned()),
            database: Some("shop".to_owned()),
            state: Some("Sleep".to_owned()),
            in_state: Some(Duration::from_secs(12)),
            statement: None,
        };
        assert_eq!(
            Holder { process: process.clone() }.to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: Sleep for 12s"
        );
        assert_eq!(
            Waiter { process }.to_string(),
            "connection 7 of app at 10.0.0.5:4711 in shop: waiting for 12s"
        );
        let process = Process { in_state: Some(Duration::ZERO), ..Process::unknown(7) };
        assert_eq!(Waiter { process }.to_string(), "connection 7: waiting for 0s");
        let process = Process::unknown(7);
        assert_eq!(Holder { process: process.clone() }.to_string(), "connection 7");
        assert_eq!(Waiter { process }.to_string(), "connection 7: waiting");
    }
}
