//! The full name of a named lock, as the server knows it.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{OnceLock, PoisonError, RwLock};

/// A full name of more characters than this is shortened, where that is asked for: MySQL's maximum.
const MOST_CHARACTERS: usize = 64;

/// MariaDB's maximum, in bytes: 64 times three, measured on 10.11.
const MOST_BYTES: usize = 192;

/// The database that was seen last on any connection: the guess for the next one.
static LAST_DATABASE: RwLock<String> = RwLock::new(String::new());

/// `database.name`, or a server-wide name.
#[derive(Debug, Clone)]
pub(crate) struct FullName {
    text: String,
    digits: OnceLock<String>,
    shortened: bool,
    /// How long the database in front is.
    database: Option<usize>,
    /// Whether the server is to check the database before it uses the name.
    is_checked: bool,
}

impl FullName {
    pub(crate) fn server_wide(name: &str, shorten: bool) -> Self {
        Self::new(name.to_owned(), None, false, shorten)
    }

    /// In a database that the caller names: the server need not check it.
    pub(crate) fn in_database(database: &str, name: &str, shorten: bool) -> Self {
        Self::new([database, ".", name].concat(), Some(database.len()), false, shorten)
    }

    /// In the connection's database, if that is this one.
    pub(crate) fn in_current(database: &str, name: &str, shorten: bool) -> Self {
        Self::new([database, ".", name].concat(), Some(database.len()), true, shorten)
    }

    /// With the database that was seen last. Before any was seen this matches none, since no
    /// database has an empty name.
    pub(crate) fn guess(name: &str, shorten: bool) -> Self {
        let database = LAST_DATABASE.read().unwrap_or_else(PoisonError::into_inner);
        Self::in_current(&database, name, shorten)
    }

    fn new(text: String, database: Option<usize>, is_checked: bool, shorten: bool) -> Self {
        let is_long = || text.len() > MOST_BYTES || text.chars().count() > MOST_CHARACTERS;
        let shortened = shorten && is_long();
        Self { text, digits: OnceLock::new(), shortened, database, is_checked }
    }

    pub(crate) fn remember_database(database: &str) {
        database.clone_into(&mut LAST_DATABASE.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Another name in the same database, which makes the same statement.
    pub(crate) fn beside(&self, name: &str) -> Self {
        let prefix = self.checked_database().unwrap_or_default();
        let text = [prefix, ".", name].concat();
        Self { text, digits: OnceLock::new(), ..self.clone() }
    }

    /// Returns the name for good, whatever database the connection uses later.
    pub(crate) fn settle(mut self) -> Self {
        self.is_checked = false;
        self
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }

    /// Returns the bytes as hexadecimal digits.
    pub(crate) fn digits(&self) -> &str {
        self.digits.get_or_init(|| hexadecimal(self.as_bytes()))
    }

    /// Those of the database in front.
    pub(crate) fn digits_of(&self, database: &str) -> &str {
        &self.digits()[..2 * database.len()]
    }

    /// Returns whether MySQL accepts the name, which accepts fewer than MariaDB.
    pub(crate) fn is_usual(&self) -> bool {
        let fits = self.shortened || self.text.chars().count() <= MOST_CHARACTERS;
        fits && self.text.chars().all(|character| character <= '\u{ffff}')
    }

    pub(crate) fn is_shortened(&self) -> bool {
        self.shortened
    }

    /// Returns the database in front, unless the name is server-wide.
    pub(crate) fn database(&self) -> Option<&str> {
        self.database.map(|length| &self.text[..length])
    }

    pub(crate) fn checked_database(&self) -> Option<&str> {
        self.database().filter(|_| self.is_checked)
    }
}

/// Two digits for each byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02X}");
    }
    digits
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shortened_only_if_one_of_the_servers_would_refuse_it() {
        let is_shortened = |name: &str| FullName::server_wide(name, true).is_shortened();
        assert!(!is_shortened(&"n".repeat(64)));
        assert!(is_shortened(&"n".repeat(65)));
        assert!(!is_shortened(&"語".repeat(64)), "192 bytes");
        assert!(is_shortened(&"🔒".repeat(49)), "196 bytes");
        assert!(!is_shortened(&"🔒".repeat(48)), "192 bytes");
        assert!(!FullName::server_wide(&"n".repeat(65), false).is_shortened());
    }
}
