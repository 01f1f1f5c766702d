//! The screen: what it shows of a snapshot, and what the keys do.

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use ratatui::Frame;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{
    Block, Borders, Cell, Paragraph, Row, Scrollbar, ScrollbarOrientation, ScrollbarState, Table,
    TableState,
};
use unicode_width::UnicodeWidthStr;

use crate::page::{Choice, Tab, note};
use crate::snapshot::Snapshot;
use crate::table::{self, Column, Fitted, GAP};
use crate::text::{harmless, shortened_at_end, wrapped};

const KEYS: &str =
    "q quit  Tab locks/tables  ↑↓ select  Enter details  / filter  s sort  r reverse";
const KEYS_WHILE_TYPING: &str = "Enter keeps the filter, Esc drops it";

pub(crate) struct Screen {
    snapshot: Snapshot,
    seen: Instant,
    error: Option<String>,
    interval: Duration,
    tab: Tab,
    choice: Choice,
    typing: bool,
    details: bool,
    /// The texts of the first cells of the selected row, which moves when the rows change.
    selected: Option<[String; 3]>,
    state: TableState,
    /// The columns that were shown last.
    fitted: Vec<Fitted>,
    /// The number of rows that were shown last.
    height: u16,
}

impl Screen {
    pub(crate) fn new(snapshot: Snapshot, interval: Duration, choice: Choice) -> Self {
        Self {
            snapshot,
            seen: Instant::now(),
            error: None,
            interval,
            tab: Tab::Named,
            choice,
            typing: false,
            details: false,
            selected: None,
            state: TableState::new(),
            fitted: Vec::new(),
            height: 0,
        }
    }

    pub(crate) fn refresh(&mut self, snapshot: Snapshot) {
        self.snapshot = snapshot;
        self.seen = Instant::now();
        self.error = None;
        if !Tab::all(&self.snapshot).contains(&self.tab) {
            self.open(Tab::Named);
        }
    }

    /// Keeps the last snapshot, and says that it is old.
    pub(crate) fn fail(&mut self, error: &str) {
        self.error = Some(error.to_owned());
    }

    /// Returns whether the user quits.
    pub(crate) fn press(&mut self, key: KeyEvent) -> bool {
        // In raw mode the terminal sends no signal for it.
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return key.code == KeyCode::Char('c');
        }
        if self.typing {
            self.edit_filter(key.code);
            return false;
        }
        let page = isize::try_from(self.height).unwrap_or(1);
        match key.code {
            KeyCode::Esc if self.details => self.details = false,
            KeyCode::Esc if !self.choice.filter.is_empty() => self.choice.filter.clear(),
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(-1),
            KeyCode::Char(digit @ '1'..='3') => {
                let index = usize::from(digit as u8 - b'1');
                if let Some(tab) = Tab::all(&self.snapshot).get(index) {
                    self.open(*tab);
                }
            }
            KeyCode::Down | KeyCode::Char('j') => self.select_by(1),
            KeyCode::Up | KeyCode::Char('k') => self.select_by(-1),
            KeyCode::PageDown => self.select_by(page),
            KeyCode::PageUp => self.select_by(-page),
            KeyCode::Home => self.select_by(isize::MIN),
            KeyCode::End => self.select_by(isize::MAX),
            KeyCode::Enter => {
                self.details = !self.details;
                self.select_by(0);
            }
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort_by_next(),
            KeyCode::Char('r') => self.choice.sort.reversed = !self.choice.sort.reversed,
            _ => {}
        }
        false
    }

    fn edit_filter(&mut self, key: KeyCode) {
        match key {
            KeyCode::Char(char) => self.choice.filter.push(char),
            KeyCode::Backspace => {
                self.choice.filter.pop();
            }
            KeyCode::Esc => {
                self.choice.filter.clear();
                self.typing = false;
            }
            KeyCode::Enter => self.typing = false,
            _ => {}
        }
    }

    fn open(&mut self, tab: Tab) {
        if self.tab != tab {
            self.tab = tab;
            self.selected = None;
            self.state = TableState::new();
        }
    }

    fn turn(&mut self, by: isize) {
        let tabs = Tab::all(&self.snapshot);
        let now = tabs.iter().position(|tab| *tab == self.tab).unwrap_or(0);
        let next = now.wrapping_add_signed(by).wrapping_add(tabs.len()) % tabs.len();
        self.open(tabs[next]);
    }

    /// Moves the selection, or selects the first row if there is none.
    fn select_by(&mut self, by: isize) {
        let table = self.tab.table(&self.snapshot, &self.choice);
        let Some(last) = table.rows.len().checked_sub(1) else {
            return;
        };
        let index = match self.index_of_selected(&table) {
            Some(index) => index.saturating_add_signed(by).min(last),
            None if by == isize::MAX => last,
            None => 0,
        };
        self.selected = Some(identity(&table.rows[index]));
    }

    fn index_of_selected(&self, table: &table::Table) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        table.rows.iter().position(|row| identity(row) == *selected)
    }

    /// Goes through the columns that are shown, and back to the order of the snapshot.
    fn sort_by_next(&mut self) {
        let columns: Vec<Column> = self.fitted.iter().map(|fitted| fitted.column).collect();
        let sort = &mut self.choice.sort;
        let position = sort.by.and_then(|by| columns.iter().position(|column| *column == by));
        sort.by = match position {
            Some(position) => columns.get(position + 1).copied(),
            None => columns.first().copied(),
        };
        sort.reversed = false;
    }

    pub(crate) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let width = usize::from(area.width);
        let table = self.tab.table(&self.snapshot, &self.choice);
        let selected = self.index_of_selected(&table);
        if selected.is_none() {
            self.selected = None;
        }
        self.state.select(selected);

        let messages = self.messages(width);
        let note = self.note(width);
        let details = match selected {
            Some(index) if self.details => details_of(&table, index, width),
            _ => Vec::new(),
        };
        // The table keeps a half of the screen, so that a long message leaves room for it.
        let at_most = |lines: usize, part: u16| {
            let lines = u16::try_from(lines).unwrap_or(u16::MAX);
            Constraint::Length(lines.min(area.height / part))
        };
        let border = usize::from(!details.is_empty());
        let [top, tabs, rows, note_area, bottom, keys] = Layout::vertical([
            at_most(messages.len(), 3),
            Constraint::Length(1),
            Constraint::Fill(1),
            at_most(note.len(), 3),
            at_most(details.len() + border, 2),
            Constraint::Length(1),
        ])
        .areas(area);
        frame.render_widget(Paragraph::new(messages), top);
        frame.render_widget(self.tabs(width), tabs);
        self.draw_table(frame, rows, &table);
        frame.render_widget(Paragraph::new(note), note_area);
        if border == 1 {
            let block = Block::new().borders(Borders::TOP).title(" Details ");
            frame.render_widget(Paragraph::new(details).block(block), bottom);
        }
        frame.render_widget(self.keys(), keys);
    }

    /// Returns the error, and the server's warnings.
    fn messages(&self, width: usize) -> Vec<Line<'static>> {
        let age = self.seen.elapsed().as_secs();
        let stale = match &self.error {
            Some(error) => Some(format!("error, this is of {age} s ago: {}", harmless(error))),
            None if self.seen.elapsed() > self.interval + Duration::from_secs(2) => {
                Some(format!("The server has not answered since, this is of {age} s ago."))
            }
            None => None,
        };
        let mut lines = lines(stale.as_deref(), width, Style::new().red().bold());
        for warning in &self.snapshot.warnings {
            let warning = format!("warning: {}", harmless(warning));
            lines.extend(self::lines(Some(&warning), width, Style::new().yellow()));
        }
        lines
    }

    fn note(&self, width: usize) -> Vec<Line<'static>> {
        lines(note(&self.snapshot).as_deref(), width, Style::new())
    }

    /// Returns the tabs on the left, and the server on the right if there is room.
    fn tabs(&self, width: usize) -> Line<'static> {
        let mut spans = Vec::new();
        for (index, tab) in Tab::all(&self.snapshot).iter().enumerate() {
            let text = format!(" {} {} ({}) ", index + 1, tab.title(), tab.count(&self.snapshot));
            spans.push(if *tab == self.tab { Span::from(text).reversed() } else { text.into() });
            spans.push(" ".into());
        }
        let used: usize = spans.iter().map(Span::width).sum();
        let server = shortened_at_end(&harmless(&self.snapshot.server), width.saturating_sub(used));
        spans.push(" ".repeat(width.saturating_sub(used + server.width())).into());
        spans.push(server.into());
        Line::from(spans)
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect, table: &table::Table) {
        self.height = area.height.saturating_sub(1).max(1);
        let overflows = table.rows.len() > usize::from(self.height);
        // The scrollbar has the last column of the screen.
        let width = area.width.saturating_sub(u16::from(overflows));
        let fitted = table.fit(Some(usize::from(width)));
        if table.rows.is_empty() {
            let text = self.tab.empty(&self.snapshot, &self.choice);
            let text = lines(Some(&text), usize::from(area.width), Style::new());
            frame.render_widget(Paragraph::new(text), area);
        } else {
            let header = fitted.iter().map(|fitted| Cell::from(self.heading(table, fitted.column)));
            let rows =
                table.rows.iter().map(|row| Row::new(fitted.iter().map(|fitted| fitted.cell(row))));
            let widths = fitted.iter().map(|fitted| length(fitted.width));
            let style = if self.error.is_some() { Style::new().dim() } else { Style::new() };
            let shown = Table::new(rows, widths)
                .header(Row::new(header).bold())
                .column_spacing(u16::try_from(GAP).unwrap_or(1))
                .style(style)
                .row_highlight_style(Style::new().reversed());
            let inner = Rect { width, ..area };
            frame.render_stateful_widget(shown, inner, &mut self.state);
        }
        if overflows {
            let hidden = table.rows.len() - usize::from(self.height);
            let mut state = ScrollbarState::new(hidden).position(self.state.offset());
            let bar = Scrollbar::new(ScrollbarOrientation::VerticalRight);
            frame.render_stateful_widget(bar, area, &mut state);
        }
        self.fitted = fitted;
    }

    /// With a mark if the rows are sorted by it.
    fn heading(&self, table: &table::Table, column: Column) -> String {
        let heading = table.heading(column);
        match self.choice.sort {
            sort if sort.by != Some(column) => heading.to_owned(),
            sort if sort.reversed => format!("{heading}▲"),
            _ => format!("{heading}▼"),
        }
    }

    fn keys(&self) -> Line<'static> {
        let filter = harmless(&self.choice.filter);
        if self.typing {
            return Line::from(vec![
                format!("filter: {filter}").bold(),
                "█  ".into(),
                KEYS_WHILE_TYPING.dim(),
            ]);
        }
        if filter.is_empty() {
            return Line::from(KEYS).dim();
        }
        Line::from(vec![format!("filter: {filter}  ").bold(), "Esc drops it  ".into(), KEYS.dim()])
    }
}

/// Everything about a row, which the table may shorten or leave out.
fn details_of(table: &table::Table, index: usize, width: usize) -> Vec<Line<'static>> {
    let row = &table.rows[index];
    let mut text = Vec::new();
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        // They have their own lines.
        if !cell.text.is_empty() && *column != Column::Waiters {
            text.push(format!("{}: {}", table.heading(*column), cell.text));
        }
    }
    text.extend(row.waiters.iter().map(|waiter| format!("WAITER: {waiter}")));
    text.iter().flat_map(|text| lines(Some(text), width, Style::new())).collect()
}

/// Returns the name, and the holder: the second cell, or the third after the mode of a table lock.
fn identity(row: &table::Row) -> [String; 3] {
    [0, 1, 2].map(|index| row.cells[index].text.clone())
}

fn lines(text: Option<&str>, width: usize, style: Style) -> Vec<Line<'static>> {
    let lines = text.map(|text| wrapped(text, Some(width))).unwrap_or_default();
    lines.into_iter().map(|line| Line::styled(line, style)).collect()
}

fn length(width: usize) -> Constraint {
    Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
}
