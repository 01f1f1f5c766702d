//! `locks-top` as it runs: on a terminal, and into a pipe.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Unsigned};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::harness::{
    PATIENCE, Plugin, as_user, connect, connection_id, get_lock, program, shared, unique, until,
};

/// The program on its own terminal, which is 24 lines high.
struct Terminal {
    process: Child,
    keys: File,
    there: File,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(url: &str, args: &[&str]) -> Self {
        Self::start_with_width(url, args, 160)
    }

    fn start_with_width(url: &str, args: &[&str], width: u16) -> Self {
        let here = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&here).unwrap();
        unlockpt(&here).unwrap();
        let path = ptsname(&here, Vec::new()).unwrap().into_string().unwrap();
        let there = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&there, size).unwrap();
        let mut command: Command = program(url, args);
        command.env("TERM", "xterm-256color");
        command.stdin(there.try_clone().unwrap()).stdout(there.try_clone().unwrap());
        let process = command.stderr(there.try_clone().unwrap()).spawn().unwrap();

        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, width, 0)));
        let keys = File::from(here);
        let (mut output, drawn) = (keys.try_clone().unwrap(), Arc::clone(&screen));
        thread::spawn(move || {
            let mut piece = [0; 4096];
            // An error is the end of the terminal.
            while let Ok(length) = output.read(&mut piece) {
                drawn.lock().unwrap().process(&piece[..length]);
            }
        });
        Self { process, keys, there, screen }
    }

    fn shown(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    fn until(&self, what: &str, seen: impl Fn(&str) -> bool) {
        until(&format!("{what}: {}", self.shown()), || seen(&self.shown()));
    }

    fn is_raw(&self) -> bool {
        let modes = tcgetattr(&self.there).unwrap().local_modes;
        !modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn has_left_the_screen(&self) -> bool {
        let screen = self.screen.lock().unwrap();
        !screen.screen().alternate_screen() && !screen.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_screen_follows_the_locks_until_a_key_is_pressed() {
    let _plugin = Plugin::loaded();
    let url = shared();
    let name = unique("live");
    let mut holder = connect(&url);
    for leave in ["q", "\u{1b}", "\u{3}"] {
        let mut terminal = Terminal::start(&url, &["--prefix", &name]);
        terminal.until("nothing is held", |shown| shown.contains("No named lock is held"));
        assert!(terminal.is_raw() && !terminal.has_left_the_screen());
        assert!(get_lock(&mut holder, &name, 0));
        let row = [name.clone(), connection_id(&mut holder).to_string()];
        terminal.until("the lock is held", |shown| {
            shown.lines().any(|line| line.split_whitespace().take(2).eq(&row))
        });
        holder.batch_execute("DO RELEASE_ALL_LOCKS()").unwrap();
        terminal.until("nothing is held", |shown| shown.contains("No named lock is held"));
        terminal.keys.write_all(leave.as_bytes()).unwrap();
        let mut ended = None;
        until("the program ends", || {
            ended = terminal.process.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(0), "{leave:?}");
        terminal.until("the screen is left", |_| terminal.has_left_the_screen());
        assert!(!terminal.is_raw(), "{leave:?}");
    }
}

#[test]
fn at_80_columns_tabs_filters_and_details_answer_to_keys() {
    let _plugin = Plugin::loaded();
    let url = shared();
    let mut holder = connect(&url);
    let prefix = unique("keys");
    let long = format!("{prefix}-a-name-with-more-than-its-columns-0017");
    assert!(get_lock(&mut holder, &long, 0));
    assert!(get_lock(&mut holder, &format!("{prefix}-other"), 0));
    let mut terminal = Terminal::start_with_width(&url, &["--prefix", &prefix], 80);
    terminal.until("both are listed", |shown| {
        shown.contains("Named locks (2)") && shown.contains("s-0017 ") && shown.contains("-other ")
    });
    assert!(!terminal.shown().contains(&long), "{}", terminal.shown());
    terminal.keys.write_all(b"/0017\r").unwrap();
    terminal.until("one is left", |shown| !shown.contains("-other "));
    terminal.keys.write_all(b"\r").unwrap();
    terminal.until("the whole name is there", |shown| shown.contains(&format!("LOCK: {long}")));
    terminal.keys.write_all(b"\t").unwrap();
    terminal.until("the tables are there", |shown| shown.contains("No table is locked"));
    terminal.keys.write_all(b"q").unwrap();
    terminal.until("the screen is left", |_| terminal.has_left_the_screen());
}

#[test]
fn an_error_at_the_start_leaves_the_terminal_alone() {
    let mut terminal = Terminal::start("mysql://root@127.0.0.1:1/", &[]);
    assert_eq!(terminal.process.wait().unwrap().code(), Some(1));
    terminal.until("the reason is there", |shown| shown.starts_with("error: "));
    assert!(terminal.has_left_the_screen() && !terminal.is_raw());
}

/// A user whose connections differ from all others.
struct User {
    name: String,
    admin: MysqlConnection,
}

impl User {
    fn new() -> Self {
        let (name, mut admin) = (unique("user"), connect(&shared()));
        admin
            .batch_execute(&format!(
                "CREATE USER '{name}'@'%'; GRANT SELECT ON performance_schema.* TO '{name}'@'%'; \
                 GRANT PROCESS ON *.* TO '{name}'@'%'"
            ))
            .unwrap();
        Self { name, admin }
    }

    /// Ends the program's connection.
    fn is_cut(&mut self) -> bool {
        let found = sql::<Nullable<Unsigned<BigInt>>>(&format!(
            "(SELECT CAST(MAX(ID) AS UNSIGNED) FROM information_schema.PROCESSLIST \
             WHERE USER = '{}')",
            self.name
        ));
        let id: Option<u64> = diesel::select(found).get_result(&mut self.admin).unwrap();
        id.is_some_and(|id| self.admin.batch_execute(&format!("KILL CONNECTION {id}")).is_ok())
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = self.admin.batch_execute(&format!("DROP USER '{}'@'%'", self.name));
    }
}

#[test]
fn a_lost_connection_is_reported_and_reopened() {
    let _plugin = Plugin::loaded();
    let mut user = User::new();
    let terminal = Terminal::start(&as_user(&shared(), &user.name), &["--prefix", &user.name]);
    terminal.until("nothing is held", |shown| shown.contains("No named lock is held"));
    until("the connection is cut", || user.is_cut());
    terminal.until("an error is shown", |shown| shown.starts_with("error, "));
    terminal.until("the error goes", |shown| !shown.contains("error"));
    assert!(terminal.shown().contains("No named lock is held"));
}

#[test]
fn a_pipe_gets_every_refresh_until_its_reader_ends() {
    let _plugin = Plugin::loaded();
    let mut user = User::new();
    let mut process =
        program(&as_user(&shared(), &user.name), &["--prefix", &user.name]).spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let mut stdout = BufReader::new(process.stdout.take().unwrap());
    let reading = thread::spawn(move || {
        let mut line = String::new();
        // Until the receiver is gone.
        while stdout.read_line(&mut line).unwrap() > 0 && sender.send(line.clone()).is_ok() {
            line.clear();
        }
    });
    let until_printed = || while !lines.recv_timeout(PATIENCE).unwrap().starts_with("No named") {};
    until_printed();
    until_printed();
    until("the connection is cut", || user.is_cut());
    until_printed();
    until_printed();
    drop(lines);
    reading.join().unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: "));
}
