//! The full name of a named lock, as the server knows it.

use std::fmt;
use std::sync::{PoisonError, RwLock};

/// A full name of more characters than this is shortened, where that is asked for.
const LONGEST_UNSHORTENED: usize = 64;

/// The database that was seen last on any connection: the guess for the next one.
static LAST_DATABASE: RwLock<String> = RwLock::new(String::new());

/// `database.name`, or a server-wide name.
#[derive(Debug, Clone)]
pub(crate) struct FullName {
    text: String,
    shortened: bool,
    /// How long the database in front is that the server is to check before it uses the name.
    checked: Option<usize>,
}

impl FullName {
    pub(crate) fn server_wide(name: &str, shorten: bool) -> Self {
        Self::new(name.to_owned(), None, shorten)
    }

    pub(crate) fn in_database(database: &str, name: &str, shorten: bool) -> Self {
        Self::new([database, ".", name].concat(), Some(database.len()), shorten)
    }

    /// With the database that was seen last. Before any was seen this matches none, since no
    /// database has an empty name.
    pub(crate) fn guess(name: &str, shorten: bool) -> Self {
        let database = LAST_DATABASE.read().unwrap_or_else(PoisonError::into_inner);
        Self::in_database(&database, name, shorten)
    }

    fn new(text: String, checked: Option<usize>, shorten: bool) -> Self {
        let shortened = shorten && text.chars().count() > LONGEST_UNSHORTENED;
        Self { text, shortened, checked }
    }

    pub(crate) fn remember_database(database: &str) {
        database.clone_into(&mut LAST_DATABASE.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The name for good, whatever database the connection uses later.
    pub(crate) fn settle(mut self) -> Self {
        self.checked = None;
        self
    }

    pub(crate) fn as_string(&self) -> &String {
        &self.text
    }

    pub(crate) fn is_shortened(&self) -> bool {
        self.shortened
    }

    pub(crate) fn database(&self) -> Option<&str> {
        self.checked.map(|length| &self.text[..length])
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
