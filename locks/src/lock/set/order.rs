//! The order in which the locks of a set are acquired.
//!
//! It has to be the same for every client of a server, in whatever case it spells the names: MySQL
//! takes `A` and `a` for one lock. So names are compared in lower case as MySQL has it, and then as
//! bytes, which is how MariaDB tells them apart.

use std::cmp::Ordering;

pub(super) fn compare(one: &str, other: &str) -> Ordering {
    let lower = one.chars().map(lower_case).cmp(other.chars().map(lower_case));
    lower.then_with(|| one.cmp(other))
}

/// Returns the lower case of MySQL's names of locks, which is that of the collation
/// `utf8mb3_general_ci`: Unicode's of the year 2000, one character for one. Measured on MySQL 9.7
/// for every character; a test compares them.
fn lower_case(character: char) -> char {
    match character {
        'İ' => 'i',
        // Without the letters that have got a lower case since then.
        'A'..='Z'
        | '\u{c0}'..='\u{12e}'
        | '\u{132}'..='\u{21e}'
        | '\u{222}'..='\u{232}'
        | '\u{386}'..='\u{38a}'
        | '\u{38c}'
        | '\u{38e}'..='\u{3a1}'
        | '\u{3a3}'..='\u{3ab}'
        | '\u{3da}'..='\u{3ee}'
        | '\u{400}'..='\u{480}'
        | '\u{48c}'..='\u{4be}'
        | '\u{4c1}'..='\u{4c3}'
        | '\u{4c7}'
        | '\u{4cb}'
        | '\u{4d0}'..='\u{4f4}'
        | '\u{4f8}'
        | '\u{531}'..='\u{556}'
        | '\u{1e00}'..='\u{1e94}'
        | '\u{1ea0}'..='\u{1ef8}'
        | '\u{1f08}'..='\u{1f0f}'
        | '\u{1f18}'..='\u{1f1d}'
        | '\u{1f28}'..='\u{1f3f}'
        | '\u{1f48}'..='\u{1f4d}'
        | '\u{1f59}'
        | '\u{1f5b}'
        | '\u{1f5d}'
        | '\u{1f5f}'..='\u{1f6f}'
        | '\u{1f88}'..='\u{1faf}'
        | '\u{1fb8}'..='\u{1fbc}'
        | '\u{1fc8}'..='\u{1fcc}'
        | '\u{1fd8}'..='\u{1fdb}'
        | '\u{1fe8}'..='\u{1fec}'
        | '\u{1ff8}'..='\u{1ffc}'
        | '\u{2126}'..='\u{212b}'
        | '\u{2160}'..='\u{216f}'
        | '\u{24b6}'..='\u{24cf}'
        | '\u{ff21}'..='\u{ff3a}' => character.to_lowercase().next().unwrap_or(character),
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_lock_of_mysql_have_the_same_neighbors() {
        for (one, other) in [("account-Ä", "account-ä"), ("İ", "I"), ("\u{212a}", "k")] {
            assert_eq!(compare(&format!("{one}1"), &format!("{other}2")), Ordering::Less);
            assert_eq!(compare(&format!("{one}2"), &format!("{other}1")), Ordering::Greater);
        }
    }

    #[test]
    fn letters_that_have_got_a_lower_case_later_are_others() {
        for (upper, lower) in [("ẞ1", "ß2"), ("Ⱥ1", "ⱥ2"), ("Ꭰ1", "ꭰ2")] {
            assert_ne!(compare(upper, lower), compare(lower, upper));
            assert_eq!(compare(upper, lower), upper.cmp(lower));
        }
    }

    #[test]
    fn names_that_mariadb_tells_apart_have_an_order() {
        assert_eq!(compare("A", "a"), Ordering::Less);
        assert_eq!(compare("a", "a"), Ordering::Equal);
    }
}
