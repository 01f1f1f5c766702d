//! The program, and servers whose locks it lists.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, process, thread};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Unsigned};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn program(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_locks-top"));
    command.args(args).env("DATABASE_URL", url);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Returns what the program printed, which has no character that moves the cursor.
#[track_caller]
pub(crate) fn output_of(url: &str, args: &[&str]) -> String {
    let output = program(url, args).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stderr, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    text
}

/// Returns what it says when it can show nothing.
#[track_caller]
pub(crate) fn refusal_of(url: &str) -> String {
    let Output { status, stdout, stderr } = program(url, &["--once"]).output().unwrap();
    assert_eq!((status.code(), stdout), (Some(1), Vec::new()));
    let text = String::from_utf8(stderr).unwrap();
    assert!(text.starts_with("error: ") && text.ends_with('\n'), "{text}");
    text
}

/// Returns the cells of the first line that begins so.
#[track_caller]
pub(crate) fn cells<'o>(output: &'o str, first: &str) -> Vec<&'o str> {
    let line = output.lines().find(|line| line.starts_with(&format!("{first} ")));
    let line = line.unwrap_or_else(|| panic!("no line begins with {first}:\n{output}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

pub(crate) fn shared() -> String {
    env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`")
}

/// The same server, as another user.
pub(crate) fn as_user(url: &str, user: &str) -> String {
    let (_, host) = url.rsplit_once('@').expect("mysql://user@host/");
    format!("mysql://{user}@{host}")
}

pub(crate) fn connect(url: &str) -> MysqlConnection {
    MysqlConnection::establish(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

pub(crate) fn connection_id(conn: &mut MysqlConnection) -> u64 {
    diesel::select(sql::<Unsigned<BigInt>>("CONNECTION_ID()")).get_result(conn).unwrap()
}

fn is(conn: &mut MysqlConnection, condition: &str) -> bool {
    diesel::select(sql::<Bool>(condition)).get_result(conn).unwrap()
}

pub(crate) fn is_mysql() -> bool {
    !is(&mut connect(&shared()), "VERSION() LIKE '%MariaDB%'")
}

pub(crate) fn get_lock(conn: &mut MysqlConnection, name: &str, seconds: i32) -> bool {
    try_get_lock(conn, name, seconds).unwrap() == Some(1)
}

fn try_get_lock(conn: &mut MysqlConnection, name: &str, seconds: i32) -> QueryResult<Option<i32>> {
    let taken = sql::<Nullable<Integer>>("GET_LOCK(")
        .bind::<Text, _>(name)
        .sql(", ")
        .bind::<Integer, _>(seconds)
        .sql(")");
    diesel::select(taken).get_result(conn)
}

pub(crate) fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let started = Instant::now();
    while !seen() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns a name that no other test uses.
pub(crate) fn unique(purpose: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("top{}-{}-{purpose}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A connection that waits for a lock, until it gets it.
pub(crate) struct Waiter {
    pub(crate) id: u64,
    waiting: Option<thread::JoinHandle<()>>,
    admin: MysqlConnection,
}

impl Waiter {
    pub(crate) fn new(url: &str, name: &str) -> Self {
        let mut conn = connect(url);
        let id = connection_id(&mut conn);
        let name = name.to_owned();
        let waiting = Some(thread::spawn(move || {
            // It is killed where it still waits at the end.
            let _ = try_get_lock(&mut conn, &name, 120);
        }));
        let mut waiter = Self { id, waiting, admin: connect(url) };
        let waits = format!(
            "EXISTS (SELECT 1 FROM information_schema.PROCESSLIST \
             WHERE ID = {id} AND STATE IN ('User lock', 'User level lock'))"
        );
        until("a connection waits", || is(&mut waiter.admin, &waits));
        waiter
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.admin.batch_execute(&format!("KILL CONNECTION {}", self.id));
        let _ = self.waiting.take().map(thread::JoinHandle::join);
    }
}

/// The plugin of MariaDB's shared server, as a test needs it. To be made first: MariaDB crashes
/// where the plugin is unloaded while it is read, so that one test at a time uses it.
pub(crate) struct Plugin {
    installed: bool,
    conn: MysqlConnection,
    _alone: MutexGuard<'static, ()>,
}

const LOADED: &str = "EXISTS (SELECT 1 FROM information_schema.PLUGINS \
     WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE')";

impl Plugin {
    /// Loaded, on MariaDB.
    pub(crate) fn loaded() -> Self {
        let mut plugin = Self::as_it_is();
        if !is_mysql() && !is(&mut plugin.conn, LOADED) {
            plugin.conn.batch_execute("INSTALL SONAME 'metadata_lock_info'").unwrap();
            plugin.installed = true;
        }
        plugin
    }

    pub(crate) fn as_it_is() -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut conn = connect(&shared());
        // The tests of the library use the same name.
        assert!(get_lock(&mut conn, "diesel-locks-tests.listings", 600));
        Self { installed: false, conn, _alone: alone }
    }

    pub(crate) fn is_loaded(&mut self) -> bool {
        is(&mut self.conn, LOADED)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        if self.installed {
            let _ = self.conn.batch_execute("UNINSTALL SONAME 'metadata_lock_info'");
        }
    }
}

/// A server of the same kind with its own options, which only one test uses.
pub(crate) struct Private {
    process: Child,
    folder: PathBuf,
    pub(crate) url: String,
}

impl Private {
    /// `None` where the tests were given a server, and cannot start one.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        let Ok(command) = env::var("DIESEL_LOCKS_SERVER_COMMAND") else {
            eprintln!("not tried: only `./dev test` without DATABASE_URL starts servers");
            return None;
        };
        let folder = env::temp_dir().join(unique("server"));
        fs::create_dir_all(&folder).unwrap();
        // The port is closed again, and the system does not reuse it so soon.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = fs::File::create(folder.join("log")).unwrap();
        let process = Command::new(command)
            .arg(&folder)
            .arg(port.to_string())
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self { process, folder, url: format!("mysql://root@127.0.0.1:{port}/") };
        until("the server answers", || {
            let ended = server.process.try_wait().unwrap();
            assert_eq!(ended, None, "{:?}", fs::read_to_string(server.folder.join("log")));
            MysqlConnection::establish(&server.url).is_ok()
        });
        Some(server)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
