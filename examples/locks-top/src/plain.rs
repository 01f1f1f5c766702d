//! Makes other people's text harmless, and aligns it in columns.

use unicode_width::UnicodeWidthStr;

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
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut shown = String::new();
    for char in text.chars() {
        shown.push(char);
        if shown.width() >= width {
            shown.pop();
            break;
        }
    }
    shown + "…"
}

/// Aligns the rows in columns as wide as their widest cell; the last column ends with its text.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let line = |row: &[String; N]| {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line += cell;
            line += &" ".repeat(width - cell.width() + 2);
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}
