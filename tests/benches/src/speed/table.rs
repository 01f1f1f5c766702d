//! The table that is printed in the end.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;

use crate::measure::Medians;

/// What all contenders cost.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) rows: Vec<Row>,
    /// The ways to the server.
    pub(crate) ways: Vec<Way>,
    /// The rows that the others are compared with, and what these are called.
    pub(crate) bases: &'static [(usize, &'static str)],
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) round_trips: usize,
    pub(crate) allocations: u64,
}

pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// Of each row.
    pub(crate) medians: Vec<Medians>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_preset(ASCII_MARKDOWN);
        let mut header = [self.title, "round trips", "allocations"].map(String::from).to_vec();
        for way in &self.ways {
            header.push(way.name.to_owned());
            header.extend(self.bases.iter().map(|(_, base)| format!("× {base}")));
        }
        table.set_header(header);
        for (index, row) in self.rows.iter().enumerate() {
            let mut cells =
                vec![row.name.into(), row.round_trips.to_string(), row.allocations.to_string()];
            for way in &self.ways {
                let medians = &way.medians[index];
                cells.push(format!("{:.1} µs", quantile(medians, 1, 2)));
                for &(base, _) in self.bases {
                    cells.push(if base == index {
                        "1".to_owned()
                    } else {
                        ratio(medians, &way.medians[base])
                    });
                }
            }
            table.add_row(cells);
        }
        writeln!(f, "{table}")
    }
}

/// Of the same rounds: the median, and the middle half of them.
fn ratio(medians: &Medians, base: &Medians) -> String {
    let ratios: Vec<_> = medians.iter().zip(base).map(|(one, base)| one / base).collect();
    let [low, middle, high] = [1, 2, 3].map(|quarter| quantile(&ratios, quarter, 4));
    format!("{middle:.2} ({low:.2}–{high:.2})")
}

fn quantile(values: &[f64], part: usize, of: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) * part / of]
}
