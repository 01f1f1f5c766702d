#![allow(clippy::unwrap_used)] // A test fails where it panics.

use std::fmt::Write;

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::snapshot::{Client, Entry};
use crate::table::Sort;

fn client(id: u64, state: &str, seconds: u64, statement: &str) -> Client {
    Client {
        id,
        mode: None,
        user: Some("app".to_owned()),
        host: Some(format!("10.0.0.{}:4{id:04}", id % 10)),
        state: Some(state.to_owned()),
        in_state: Some(Duration::from_secs(seconds)),
        statement: (!statement.is_empty()).then(|| statement.to_owned()),
    }
}

fn lock(name: &str, holder: Client, waiters: Vec<Client>) -> Entry {
    Entry { name: name.to_owned(), holders: vec![holder], waiters }
}

fn snapshot() -> Snapshot {
    let wait = |id, seconds| client(id, "User lock", seconds, "SELECT GET_LOCK(?, ?)");
    let mode = |mode: &str, client| Client { mode: Some(mode.to_owned()), ..client };
    Snapshot {
        server: "MySQL 9.7.4".to_owned(),
        warnings: Vec::new(),
        prefix: String::new(),
        locks: vec![
            lock(
                "shop.nightly-report",
                client(
                    25,
                    "executing",
                    194,
                    "INSERT INTO totals SELECT day, SUM(amount) FROM invoices",
                ),
                vec![wait(27, 41), wait(28, 3)],
            ),
            lock(
                "tenant_42.invoice-2026-11-0017-eu-central-1",
                client(31, "Sleep", 2, ""),
                vec![wait(29, 1)],
            ),
            lock("crm.import", client(26, "User sleep", 5, "SELECT SLEEP(8)"), Vec::new()),
        ],
        tables: vec![lock(
            "shop.restaurants",
            mode("SHARED_NO_READ_WRITE", client(40, "Sleep", 7, "")),
            vec![mode(
                "SHARED_WRITE",
                client(41, "Waiting for table metadata lock", 6, "UPDATE restaurants SET open = 1"),
            )],
        )],
        remedy: None,
        waiting: Vec::new(),
        ignores_case: true,
    }
}

fn screen() -> Screen {
    Screen::new(snapshot(), Duration::from_secs(1), Choice::default())
}

/// Returns what is on a screen of this size, without the blanks at the end of lines.
fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for y in 0..height {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

fn press(screen: &mut Screen, keys: &[KeyCode]) {
    for key in keys {
        assert!(!screen.press(KeyEvent::from(*key)), "{key:?} quits");
    }
}

fn type_in(screen: &mut Screen, text: &str) {
    press(screen, &text.chars().map(KeyCode::Char).collect::<Vec<_>>());
}

/// Returns the first cells of the rows.
fn names(text: &str) -> Vec<&str> {
    let rows = text.lines().skip(2).take_while(|line| !line.is_empty());
    rows.filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn the_guide_shows_the_screen_at_80_and_160_columns() {
    let guide = include_str!("../../../../docs/locks-top.md");
    let mut tables = screen();
    press(&mut tables, &[KeyCode::Tab]);
    let mut details = screen();
    press(&mut details, &[KeyCode::Down, KeyCode::Enter]);
    for (screen, width, height) in [
        (&mut screen(), 80, 8),
        (&mut tables, 80, 6),
        (&mut details, 80, 20),
        (&mut screen(), 160, 8),
    ] {
        let shown = drawn(screen, width, height);
        assert!(guide.contains(&format!("```text\n{shown}```\n")), "not in the guide:\n{shown}");
    }
}

#[test]
fn every_line_fits_any_width_and_height() {
    for details in [false, true] {
        for (width, height) in [(1, 1), (10, 3), (20, 5), (33, 9), (57, 12), (80, 24), (300, 60)] {
            let mut screen = screen();
            screen.fail("a long error that needs more than one line on a terminal of this width");
            if details {
                press(&mut screen, &[KeyCode::Enter]);
            }
            drawn(&mut screen, width, height);
            press(&mut screen, &[KeyCode::Tab]);
            drawn(&mut screen, width, height);
        }
    }
}

#[test]
fn columns_are_left_out_by_importance() {
    let heading = |width| {
        let text = drawn(&mut screen(), width, 10);
        text.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(heading(160), "LOCK HELD BY CLIENT DOING FOR WAITERS LONGEST STATEMENT");
    assert_eq!(heading(80), "LOCK HELD BY CLIENT DOING FOR WAITERS LONGEST");
    assert_eq!(heading(60), "LOCK HELD BY WAITERS LONGEST");
    assert_eq!(heading(35), "LOCK HELD BY");
    assert_eq!(heading(20), "LOCK");
}

#[test]
fn long_names_are_shortened_in_the_middle() {
    let text = drawn(&mut screen(), 80, 10);
    assert!(text.contains("tenant_42.i…-central-1  31"), "{text}");
    let text = drawn(&mut screen(), 160, 10);
    assert!(text.contains("tenant_42.invoice-2026-11-0017-eu-central-1"), "{text}");
}

#[test]
fn rows_are_sorted_by_any_column_in_both_directions() {
    let mut screen = screen();
    let order =
        ["shop.nightly-report", "tenant_42.invoice-2026-11-0017-eu-central-1", "crm.import"];
    assert_eq!(names(&drawn(&mut screen, 160, 10))[..3], order);
    press(&mut screen, &[KeyCode::Char('s')]);
    let text = drawn(&mut screen, 160, 10);
    assert!(text.contains("LOCK▼"), "{text}");
    assert_eq!(names(&text)[..3], [order[2], order[0], order[1]]);
    press(&mut screen, &[KeyCode::Char('r')]);
    assert_eq!(names(&drawn(&mut screen, 160, 10))[..3], [order[1], order[0], order[2]]);
    press(&mut screen, &[KeyCode::Char('s')]);
    // The largest ID first.
    assert_eq!(names(&drawn(&mut screen, 160, 10))[..3], [order[1], order[2], order[0]]);
    screen.choice.sort = Sort { by: Some(Column::Longest), reversed: false };
    assert_eq!(names(&drawn(&mut screen, 160, 10))[..3], order);
    press(&mut screen, &[KeyCode::Char('s'), KeyCode::Char('s')]);
    assert_eq!(screen.choice.sort.by, None);
}

#[test]
fn a_filter_keeps_the_rows_that_contain_it() {
    let mut screen = screen();
    type_in(&mut screen, "/sLeEp(");
    let text = drawn(&mut screen, 80, 10);
    assert!(text.contains("filter: sLeEp("), "{text}");
    assert_eq!(names(&text)[0], "crm.import");
    assert!(!text.contains("shop."), "{text}");
    press(&mut screen, &[KeyCode::Enter]);
    type_in(&mut screen, "/x");
    assert!(drawn(&mut screen, 80, 10).contains("No row contains sLeEp(x."));
    press(&mut screen, &[KeyCode::Backspace, KeyCode::Enter]);
    assert!(drawn(&mut screen, 80, 10).contains("crm.import"));
    // Drops the filter; only the second quits.
    press(&mut screen, &[KeyCode::Esc]);
    assert!(drawn(&mut screen, 80, 10).contains("shop."));
    assert!(screen.press(KeyEvent::from(KeyCode::Esc)));
    // A waiter of the first lock.
    type_in(&mut screen, "/10.0.0.8:");
    assert_eq!(names(&drawn(&mut screen, 160, 10))[0], "shop.nightly-report");
}

#[test]
fn table_locks_have_their_own_tab() {
    let mut screen = screen();
    assert!(!drawn(&mut screen, 80, 10).contains("shop.restaurants"));
    press(&mut screen, &[KeyCode::Char('2')]);
    let text = drawn(&mut screen, 80, 10);
    assert!(text.contains("shop.restaurants") && !text.contains("crm.import"), "{text}");
    press(&mut screen, &[KeyCode::Char('3'), KeyCode::Right]);
    assert!(drawn(&mut screen, 80, 10).contains("crm.import"));
    press(&mut screen, &[KeyCode::Left]);
    let mut nothing = snapshot();
    nothing.tables.clear();
    screen.refresh(nothing);
    assert!(drawn(&mut screen, 80, 10).contains("No table is locked against others"));
}

#[test]
fn connections_that_wait_for_an_unknown_lock_have_a_tab() {
    let mut unknown = snapshot();
    unknown.remedy = Some("start the server with `performance_schema = ON`".to_owned());
    unknown.waiting.push(client(27, "User lock", 41, "SELECT GET_LOCK(?, ?)"));
    let mut screen = Screen::new(unknown, Duration::from_secs(1), Choice::default());
    press(&mut screen, &[KeyCode::BackTab]);
    let text = drawn(&mut screen, 80, 10);
    assert!(text.contains(" 3 Waiting (1)"), "{text}");
    assert_eq!(names(&text)[0], "27");
    assert!(text.contains("does not list which connection waits for which lock: start"), "{text}");
    // The tab is gone when the server lists it.
    screen.refresh(snapshot());
    assert!(drawn(&mut screen, 80, 10).contains("crm.import"));
}

#[test]
fn many_rows_scroll_and_the_selection_stays_with_its_row() {
    let many = |from: u64| {
        let mut many = snapshot();
        many.locks = (from..from + 50)
            .map(|id| lock(&format!("lock-{id:03}"), client(id, "Sleep", 1, ""), Vec::new()))
            .collect();
        many
    };
    let mut screen = Screen::new(many(0), Duration::from_secs(1), Choice::default());
    assert_eq!(names(&drawn(&mut screen, 80, 10))[0], "lock-000");
    press(&mut screen, &[KeyCode::End]);
    let text = drawn(&mut screen, 80, 10);
    assert!(text.contains("lock-049") && !text.contains("lock-000"), "{text}");
    press(&mut screen, &[KeyCode::PageUp, KeyCode::Up, KeyCode::Enter]);
    let text = drawn(&mut screen, 80, 20);
    assert!(text.contains("LOCK: lock-041"), "{text}");
    screen.refresh(many(5));
    assert!(drawn(&mut screen, 80, 20).contains("LOCK: lock-041"));
    press(&mut screen, &[KeyCode::Home]);
    assert!(drawn(&mut screen, 80, 20).contains("LOCK: lock-005"));
    // The selected lock was released.
    screen.refresh(many(20));
    assert!(!drawn(&mut screen, 80, 20).contains("LOCK: "));
}

#[test]
fn errors_are_wrapped_and_leave_room_for_the_table() {
    let mut screen = screen();
    screen.fail(&"the server has gone away ".repeat(40));
    let text = drawn(&mut screen, 40, 24);
    assert!(text.starts_with("error, this is of 0 s ago: the server"), "{text}");
    // A third of the screen.
    assert_eq!(text.lines().position(|line| line.starts_with(" 1 Named locks")), Some(8), "{text}");
    assert!(text.contains("crm.import"), "{text}");
    screen.refresh(snapshot());
    assert!(!drawn(&mut screen, 40, 24).contains("error"));
}

#[test]
fn text_of_other_people_is_shown_by_number() {
    let mut evil = snapshot();
    evil.server = "\u{1b}[2J".to_owned();
    evil.warnings.push("\u{9b}31m".to_owned());
    evil.locks[0].name = "\u{202e}live".to_owned();
    evil.locks[0].holders[0].statement = Some("\u{7}".to_owned());
    let mut screen = Screen::new(evil, Duration::from_secs(1), Choice::default());
    screen.fail("\u{1b}]0;");
    press(&mut screen, &[KeyCode::Enter]);
    type_in(&mut screen, "/\u{202e}");
    let text = drawn(&mut screen, 160, 30);
    assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
}
