//! A snapshot as text or as JSON, without escape codes.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use unicode_width::UnicodeWidthStr;

use crate::page::{Choice, Tab, note};
use crate::snapshot::Snapshot;
use crate::table::GAP;
use crate::text::{harmless, wrapped};

/// Prints every table, one below the other.
pub(crate) fn text(
    out: &mut impl Write,
    snapshot: &Snapshot,
    choice: &Choice,
    width: Option<usize>,
) -> io::Result<()> {
    let paragraph = |out: &mut dyn Write, text: &str| {
        wrapped(text, width).iter().try_for_each(|line| writeln!(out, "{line}"))
    };
    for warning in &snapshot.warnings {
        paragraph(out, &format!("warning: {}", harmless(warning)))?;
    }
    paragraph(out, &harmless(&snapshot.server))?;
    for tab in Tab::all(snapshot) {
        let table = tab.table(snapshot, choice);
        if table.rows.is_empty() {
            // A server usually has no table locks, and they are not this program's first subject.
            if *tab == Tab::Named {
                writeln!(out)?;
                paragraph(out, &tab.empty(snapshot, choice))?;
            }
            continue;
        }
        writeln!(out)?;
        let fitted = table.fit(width);
        let mut line = |cells: Vec<String>| {
            let mut line = String::new();
            for (cell, fitted) in cells.iter().zip(&fitted) {
                line += cell;
                let missing = fitted.width - cell.width();
                line += &" ".repeat(missing + GAP);
            }
            writeln!(out, "{}", line.trim_end())
        };
        line(fitted.iter().map(|fitted| table.heading(fitted.column).to_owned()).collect())?;
        for row in &table.rows {
            line(fitted.iter().map(|fitted| fitted.cell(row)).collect())?;
        }
    }
    if let Some(note) = note(snapshot) {
        writeln!(out)?;
        paragraph(out, &note)?;
    }
    out.flush()
}

/// Prints the snapshot as one line of JSON.
pub(crate) fn json(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    snapshot.serialize(&mut Serializer::with_formatter(&mut *out, Ascii))?;
    writeln!(out)?;
    out.flush()
}

/// Writes every character outside of ASCII by number, because terminals execute some of them.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for char in fragment.chars() {
            if char.is_ascii() && !char.is_control() {
                write!(writer, "{char}")?;
                continue;
            }
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}
