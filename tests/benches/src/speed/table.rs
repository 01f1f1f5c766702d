//! The table that is printed in the end.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;

use crate::measure::Samples;

/// Everything that was measured on one server.
pub(crate) struct Table {
    pub(crate) ways: Vec<&'static str>,
    pub(crate) groups: Vec<Group>,
}

/// The contenders for one thing.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    /// The row of the C client, and that of Diesel without this library: the others are compared
    /// with them.
    pub(crate) floor: Option<usize>,
    pub(crate) by_hand: Option<usize>,
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) counts: Option<Counts>,
    /// For each way to the server.
    pub(crate) samples: Vec<Samples>,
}

/// What can be counted.
pub(crate) struct Counts {
    pub(crate) round_trips: usize,
    pub(crate) allocations: u64,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_preset(ASCII_MARKDOWN);
        let mut header = ["", "round trips", "allocations"].map(String::from).to_vec();
        for way in &self.ways {
            header.extend([(*way).to_owned(), "× C".to_owned(), "× Diesel".to_owned()]);
        }
        table.set_header(header);
        for group in &self.groups {
            table.add_row([format!("**{}**", group.title)]);
            for row in &group.rows {
                table.add_row(group.cells(row, self.ways.len()));
            }
        }
        writeln!(f, "{table}")
    }
}

impl Group {
    fn cells(&self, row: &Row, ways: usize) -> Vec<String> {
        let mut cells = vec![row.name.to_owned()];
        cells.extend(match &row.counts {
            Some(counts) => [counts.round_trips.to_string(), counts.allocations.to_string()],
            None => [String::new(), String::new()],
        });
        for way in 0..ways {
            let to = |base: Option<usize>| {
                base.map_or_else(String::new, |base| {
                    format!("{:.2}", row.samples[way].time() / self.rows[base].samples[way].time())
                })
            };
            cells.push(format!("{:.1}\u{a0}µs", row.samples[way].time()));
            cells.extend([to(self.floor), to(self.by_hand)]);
        }
        cells
    }
}
