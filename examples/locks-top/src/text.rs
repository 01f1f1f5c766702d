//! Makes other people's text harmless, and fits it into a width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Shows unprintable characters by number. Otherwise the name of a lock could send commands to the
/// operator's terminal, or reverse the line.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\'' | '"' => shown.push(char),
            _ => shown.extend(char.escape_debug()),
        }
    }
    shown
}

/// Returns the beginning of the text, up to this width.
pub(crate) fn shortened_at_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    match width.checked_sub(1) {
        Some(width) => taken(text.chars(), width) + "…",
        None => String::new(),
    }
}

/// Returns the beginning and the end of the text: names that differ mostly do so at one of them.
pub(crate) fn shortened_in_the_middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(width) = width.checked_sub(1) else {
        return String::new();
    };
    let start = taken(text.chars(), width.div_ceil(2));
    let end: String = taken(text.chars().rev(), width / 2).chars().rev().collect();
    start + "…" + &end
}

/// Returns as many characters as have room.
fn taken(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut room = width;
    let has_room = |char: &char| {
        let left = room.checked_sub(char.width().unwrap_or(0));
        room = left.unwrap_or(0);
        left.is_some()
    };
    chars.take_while(has_room).collect()
}

/// Breaks the text into lines of this width.
pub(crate) fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    match width {
        Some(width) => textwrap::wrap(text, width.max(1)).into_iter().map(Into::into).collect(),
        None => vec![text.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_in_the_middle_to_the_width() {
        assert_eq!(shortened_in_the_middle("shop.invoice-17", 15), "shop.invoice-17");
        assert_eq!(shortened_in_the_middle("shop.invoice-17", 10), "shop.…e-17");
        assert_eq!(shortened_in_the_middle("shop.invoice-17", 1), "…");
        assert_eq!(shortened_in_the_middle("shop.invoice-17", 0), "");
        // These are two columns wide each.
        assert_eq!(shortened_in_the_middle("字字字字", 6), "字…字");
        for width in 0..20 {
            assert!(shortened_in_the_middle("a字b字c字d字e", width).width() <= width);
            assert!(shortened_at_end("a字b字c字d字e", width).width() <= width);
        }
    }

    #[test]
    fn statements_are_shortened_at_their_end() {
        assert_eq!(shortened_at_end("SELECT 1", 8), "SELECT 1");
        assert_eq!(shortened_at_end("SELECT 1", 7), "SELECT…");
        assert_eq!(shortened_at_end("字字", 2), "…");
        assert_eq!(shortened_at_end("字字", 0), "");
    }
}
