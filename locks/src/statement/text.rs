//! The texts by which Diesel finds the statements that it has prepared.

use std::sync::atomic::{AtomicU32, Ordering};

use diesel::mysql::Mysql;
use diesel::query_builder::AstPass;

/// How many texts of one kind of statement are ever cached.
const MOST: u32 = 16;

/// The texts of one kind of statement, for the whole process.
///
/// A statement that has failed must never be run from Diesel's cache again on that connection. With
/// MariaDB's client library (3.3) it may hang: the client waits for rows that never come. With
/// Oracle's (9.5) every later run fails with the old error, without being sent. Diesel cannot
/// forget a single statement, so a failure retires the text: the next one differs by a comment, and
/// is prepared anew. After a number of failures the statement is no longer cached at all, so that
/// failures never pile up statements at the server, which has room for 16,382.
#[derive(Debug)]
pub(crate) struct Texts(AtomicU32);

impl Texts {
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// For statements that are never found by their type: their first text counts as the second.
    pub(crate) const fn by_text() -> Self {
        Self(AtomicU32::new(1))
    }

    /// Returns the text to use now.
    pub(crate) fn current(&'static self) -> Text {
        Text { texts: self, number: self.0.load(Ordering::Relaxed) }
    }

    /// Returns a text that Diesel does not cache.
    pub(crate) fn uncached(&'static self) -> Text {
        Text { texts: self, number: MOST }
    }
}

/// One of the texts of a kind of statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    texts: &'static Texts,
    number: u32,
}

impl Text {
    /// Returns whether no text of this kind was retired yet.
    pub(crate) fn is_first(self) -> bool {
        self.number == 0
    }

    /// To be called when the statement has failed. Connections that fail with the same text retire
    /// it once.
    pub(crate) fn retire(self) {
        if self.number < MOST {
            let (used, next) = (self.number, self.number + 1);
            let _ = self.texts.0.compare_exchange(used, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Ends the statement with what makes it this text.
    pub(crate) fn push_end(self, out: &mut AstPass<'_, '_, Mysql>) {
        if self.number >= MOST {
            out.unsafe_to_cache_prepared();
        } else if self.number > 0 {
            out.push_sql(" /* ");
            out.push_sql(&self.number.to_string());
            out.push_sql(" */");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_one_text_retire_it_once_and_there_are_few_texts() {
        static TEXTS: Texts = Texts::new();
        let first = TEXTS.current();
        assert!(first.is_first());
        first.retire();
        first.retire();
        assert_eq!(TEXTS.current().number, 1);
        for _ in 0..100 {
            TEXTS.current().retire();
        }
        assert_eq!(TEXTS.current().number, MOST);
        TEXTS.uncached().retire();
        assert_eq!(TEXTS.current().number, MOST);
    }
}
