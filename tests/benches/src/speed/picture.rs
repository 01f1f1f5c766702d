//! The picture in the guide: an SVG with a panel for each server.
//!
//! A panel is one line of the file, so that the benchmark of one server leaves the others' alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::table::{Group, Row, Table};

/// The titles of its groups.
const GROUPS: [&str; 3] = [
    "Named lock, acquired and released",
    "Transaction under a named lock",
    "Table lock, acquired and released",
];

const WIDTH: u32 = 760;
const LABELS: u32 = 400;
const LINE: u32 = 20;

// Legible on white and on black.
const TEXT: &str = "#7d8590";
const LIBRARY: &str = "#2f81f7";
const OTHERS: &str = "#9a8c7a";

/// Writes the panel of this server, above or below those of others.
pub(crate) fn update(file: &Path, server: &str, table: &Table) {
    let old = fs::read_to_string(file).unwrap_or_default();
    let kind = kind(server);
    let mut panels: Vec<(String, String)> = old
        .lines()
        .filter_map(|line| {
            let (name, panel) = line.strip_prefix("<!-- ")?.split_once(" -->")?;
            Some((name.to_owned(), panel.to_owned()))
        })
        .filter(|(name, _)| *name != kind)
        .collect();
    panels.push((kind.to_owned(), panel(server, table)));
    panels.sort();
    let height: u32 = panels.iter().map(|(_, panel)| height_of(panel)).sum();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>What a lock costs, in microseconds</title>\n"
    );
    let mut y = 0;
    for (name, panel) in panels {
        let _ = writeln!(svg, "<g transform=\"translate(0 {y})\">\n<!-- {name} -->{panel}\n</g>");
        y += height_of(&panel);
    }
    svg.push_str("</svg>\n");
    fs::write(file, svg).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn kind(server: &str) -> &str {
    server.split(' ').next().unwrap_or_default()
}

/// As [`panel`] has noted it.
fn height_of(panel: &str) -> u32 {
    let height = panel.split('"').nth(1).and_then(|height| height.parse().ok());
    height.expect("a panel begins with its height")
}

/// Of the first way to the server.
fn panel(server: &str, table: &Table) -> String {
    let groups: Vec<&Group> =
        table.groups.iter().filter(|group| GROUPS.contains(&group.title)).collect();
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let longest = rows().map(|row| row.samples[0].time()).fold(0.0, f64::max);
    let mut svg = String::new();
    let mut y = LINE;
    text(&mut svg, 0, y, "bold", &format!("{server}, {}, µs", table.ways[0]));
    for group in groups {
        y += LINE + LINE / 2;
        text(&mut svg, 0, y, "bold", group.title);
        for row in &group.rows {
            y += LINE;
            text(&mut svg, 12, y, "normal", &row.name.replace('`', ""));
            bar(&mut svg, y, row, longest);
        }
    }
    y += LINE;
    format!("<g data-height=\"{y}\">{svg}</g>")
}

fn text(svg: &mut String, x: u32, y: u32, weight: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = write!(
        svg,
        "<text x=\"{x}\" y=\"{y}\" fill=\"{TEXT}\" font-weight=\"{weight}\">{text}</text>"
    );
}

fn bar(svg: &mut String, y: u32, row: &Row, longest: f64) {
    let width = f64::from(WIDTH - LABELS - 50) * row.samples[0].time() / longest;
    // Names of this library are code from the first to the last character.
    let is_library = row.name.starts_with('`');
    let color = if is_library { LIBRARY } else { OTHERS };
    let _ = write!(
        svg,
        "<rect x=\"{LABELS}\" y=\"{}\" width=\"{width:.0}\" height=\"12\" fill=\"{color}\"/>",
        y - 11
    );
    let end = f64::from(LABELS) + width + 6.0;
    let _ = write!(
        svg,
        "<text x=\"{end:.0}\" y=\"{y}\" fill=\"{TEXT}\">{:.0}</text>",
        row.samples[0].time()
    );
}
