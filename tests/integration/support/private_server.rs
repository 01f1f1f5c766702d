//! A separate server for one test, which may configure, stop and restart it.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool};

use super::free_port::free_port;
use super::pause;
use super::schema::{MysqlPool, TABLES};

/// Enough for a first start, which creates files, and for one that has to recover.
const START: Duration = Duration::from_secs(120);

pub(crate) struct PrivateServer {
    command: PathBuf,
    folder: PathBuf,
    process: Child,
}

impl PrivateServer {
    /// Starts a server like the one under test, with the tables of [`super::schema`] in the
    /// database `shop`. Returns `None` if the tests have only an address, and no means to start a
    /// server.
    pub(crate) fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(command) = env::var_os("DIESEL_LOCKS_SERVER_COMMAND") else {
            println!("skipped: starting a server requires DIESEL_LOCKS_SERVER_COMMAND");
            return None;
        };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // The path of a unix socket may have 107 bytes.
        let folder = env::temp_dir().join(format!("own{}_{count}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let command = PathBuf::from(command);
        let process = launch(&command, &folder);
        let server = Self { command, folder, process };
        server
            .connect("")
            .batch_execute(&format!("CREATE DATABASE shop; USE shop; {TABLES}"))
            .unwrap();
        Some(server)
    }

    fn url(&self, database: &str) -> String {
        let socket = self.folder.join("mysql.sock");
        format!("mysql://root@localhost/{database}?unix_socket={}", socket.display())
    }

    pub(crate) fn connect(&self, database: &str) -> MysqlConnection {
        MysqlConnection::establish(&self.url(database)).unwrap()
    }

    pub(crate) fn connect_as(&self, user: &str) -> MysqlConnection {
        MysqlConnection::establish(&self.url("shop").replace("root", user)).unwrap()
    }

    pub(crate) fn pool(&self, size: u32) -> MysqlPool {
        Pool::builder().max_size(size).build(ConnectionManager::new(self.url("shop"))).unwrap()
    }

    /// Kills the server without warning, as a failure of the machine would.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Stops the server as the system does when it shuts down.
    pub(crate) fn terminate(&mut self) {
        let kill = format!("kill -TERM {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        self.process.wait().unwrap();
    }

    /// Restarts the server on the same files.
    pub(crate) fn start_again(&mut self) {
        self.process = launch(&self.command, &self.folder);
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn launch(command: &PathBuf, folder: &PathBuf) -> Child {
    let socket = folder.join("mysql.sock");
    let url = format!("mysql://root@localhost/?unix_socket={}", socket.display());
    let log = folder.join("log");
    let started = Instant::now();
    // A killed server leaves its socket behind.
    let _ = fs::remove_file(&socket);
    loop {
        let output = File::create(&log).unwrap();
        let mut process = Command::new(command)
            .arg(folder)
            .arg(free_port().to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        while process.try_wait().unwrap().is_none() {
            if MysqlConnection::establish(&url).is_ok() {
                return process;
            }
            if started.elapsed() > START {
                let _ = process.kill();
                let _ = process.wait();
                break;
            }
            pause();
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        // Another process may have taken the port in the meantime.
        let again = said.to_lowercase().contains("address already in use");
        assert!(again && started.elapsed() < START, "the server did not start: {said}");
    }
}
