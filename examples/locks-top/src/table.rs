//! A table that fits its width: columns that have no room are left out, the least important first,
//! and long cells are shortened.

use std::cmp::Ordering;

use clap::ValueEnum;
use unicode_width::UnicodeWidthStr;

use crate::text::{shortened_at_end, shortened_in_the_middle};

/// The number of blanks between two columns.
pub(crate) const GAP: usize = 2;

/// The columns, by which rows can be sorted too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Column {
    /// The name of the lock or table
    Name,
    Mode,
    HeldBy,
    Client,
    /// What the holder is doing
    Doing,
    /// How long the holder has been doing that
    For,
    /// The number of waiters
    Waiters,
    /// The longest wait
    Longest,
    Statement,
}

enum Shorten {
    Never,
    /// To this width at least.
    InTheMiddle(usize),
    AtEnd(usize),
}

impl Column {
    const fn heading(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Mode => "MODE",
            Self::HeldBy => "HELD BY",
            Self::Client => "CLIENT",
            Self::Doing => "DOING",
            Self::For => "FOR",
            Self::Waiters => "WAITERS",
            Self::Longest => "LONGEST",
            Self::Statement => "STATEMENT",
        }
    }

    /// The column with the smallest number is left out first.
    const fn importance(self) -> u8 {
        match self {
            Self::Statement => 0,
            Self::Doing => 1,
            Self::For => 2,
            Self::Client => 3,
            Self::Mode => 4,
            Self::Longest => 5,
            Self::Waiters => 6,
            Self::HeldBy => 7,
            Self::Name => 8,
        }
    }

    const fn shorten(self) -> Shorten {
        match self {
            Self::Name => Shorten::InTheMiddle(20),
            Self::Client => Shorten::InTheMiddle(12),
            Self::Mode => Shorten::InTheMiddle(10),
            Self::Doing | Self::Waiters => Shorten::AtEnd(7),
            Self::Statement => Shorten::AtEnd(24),
            Self::HeldBy | Self::For | Self::Longest => Shorten::Never,
        }
    }

    /// Returns the width in output that has none.
    const fn most(self) -> usize {
        match self {
            Self::Statement => 60,
            _ => usize::MAX,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sort {
    /// `None` for the order of the snapshot.
    pub(crate) by: Option<Column>,
    pub(crate) reversed: bool,
}

pub(crate) struct Table {
    /// The heading of the names.
    pub(crate) names: &'static str,
    pub(crate) columns: &'static [Column],
    pub(crate) rows: Vec<Row>,
}

pub(crate) struct Row {
    /// One for each column.
    pub(crate) cells: Vec<Cell>,
    /// What there is to say about each waiter.
    pub(crate) waiters: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    /// Cells with a number are sorted by it, the largest first.
    pub(crate) number: Option<u64>,
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, number: None }
    }
}

impl Cell {
    fn order(&self, other: &Self) -> Ordering {
        other.number.cmp(&self.number).then_with(|| self.text.cmp(&other.text))
    }
}

/// A column that is shown, and its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fitted {
    pub(crate) column: Column,
    pub(crate) index: usize,
    pub(crate) width: usize,
}

impl Fitted {
    /// Returns the width below which the column is left out instead.
    fn least(self) -> usize {
        match self.column.shorten() {
            Shorten::Never => self.width,
            Shorten::InTheMiddle(least) | Shorten::AtEnd(least) => least.min(self.width),
        }
    }

    pub(crate) fn cell(self, row: &Row) -> String {
        let text = &row.cells[self.index].text;
        match self.column.shorten() {
            Shorten::InTheMiddle(_) => shortened_in_the_middle(text, self.width),
            Shorten::AtEnd(_) | Shorten::Never => shortened_at_end(text, self.width),
        }
    }
}

impl Table {
    pub(crate) fn heading(&self, column: Column) -> &'static str {
        if column == Column::Name { self.names } else { column.heading() }
    }

    /// Keeps the rows that contain the text in any of their columns.
    pub(crate) fn filter(&mut self, text: &str) {
        let text = text.to_lowercase();
        self.rows.retain(|row| {
            row.cells.iter().any(|cell| cell.text.to_lowercase().contains(&text))
                || row.waiters.iter().any(|waiter| waiter.to_lowercase().contains(&text))
        });
    }

    pub(crate) fn sort(&mut self, sort: Sort) {
        let index = |by| self.columns.iter().position(|column| *column == by);
        if let Some(index) = sort.by.and_then(index) {
            self.rows.sort_by(|one, other| one.cells[index].order(&other.cells[index]));
        }
        if sort.reversed {
            self.rows.reverse();
        }
    }

    /// Returns the columns that have room, with their widths.
    pub(crate) fn fit(&self, width: Option<usize>) -> Vec<Fitted> {
        let widest = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|row| row.cells[index].text.width());
            // One more for the mark of the column by which rows are sorted.
            let title = self.heading(*column).width() + usize::from(width.is_some());
            Fitted { column: *column, index, width: cells.max().unwrap_or(0).max(title) }
        };
        let mut fitted: Vec<_> = self.columns.iter().enumerate().map(widest).collect();
        let Some(width) = width else {
            for column in &mut fitted {
                column.width = column.width.min(column.column.most());
            }
            return fitted;
        };
        while total(&fitted, Fitted::least) > width && fitted.len() > 1 {
            let least = fitted.iter().map(|fitted| fitted.column.importance()).min();
            fitted.retain(|fitted| Some(fitted.column.importance()) != least);
        }
        let mut excess = total(&fitted, |fitted| fitted.width).saturating_sub(width);
        let mut by_importance: Vec<_> = fitted.iter_mut().collect();
        by_importance.sort_by_key(|fitted| fitted.column.importance());
        for fitted in by_importance {
            let less = excess.min(fitted.width - fitted.least());
            fitted.width -= less;
            excess -= less;
        }
        if let [only] = &mut fitted[..] {
            only.width = only.width.min(width);
        }
        fitted
    }
}

fn total(fitted: &[Fitted], width: impl Fn(Fitted) -> usize) -> usize {
    let gaps = fitted.len().saturating_sub(1) * GAP;
    fitted.iter().map(|fitted| width(*fitted)).sum::<usize>() + gaps
}
