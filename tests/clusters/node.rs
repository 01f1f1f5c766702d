//! One server of a cluster.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use diesel::prelude::*;

use crate::free_port::free_port;
use crate::until;

/// Returns an environment variable that `./dev test clusters` sets.
pub(crate) fn setting(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `./dev test clusters`"))
}

pub(crate) struct Node {
    name: String,
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Node {
    /// Starts a server with its data in `FOLDER/data`, and waits until it answers.
    ///
    /// `command` is called as `command FOLDER PORT [OPTION…]` and becomes the server.
    pub(crate) fn start(command: &str, folder: &Path, options: &[String], path: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let port = free_port();
        let log = File::create(folder.join("log")).unwrap();
        let process = Command::new(command)
            .arg(folder)
            .arg(port.to_string())
            .args(options)
            .env("PATH", path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut node = Self { name, folder: folder.to_owned(), port, process };
        until(&format!("{} answers", node.name), || {
            assert!(node.process.try_wait().unwrap().is_none(), "it has ended: {}", node.log());
            MysqlConnection::establish(&node.url("")).is_ok()
        });
        node
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn url(&self, database: &str) -> String {
        format!("mysql://root@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn connect(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url("shop")).unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Connects without a default database.
    pub(crate) fn connect_outside(&self) -> MysqlConnection {
        MysqlConnection::establish(&self.url("")).unwrap()
    }

    /// Returns the end of the server's log.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read(self.folder.join("log")).unwrap_or_default();
        let begin = log.len().saturating_sub(5_000);
        String::from_utf8_lossy(&log[begin..]).into_owned()
    }

    /// Shuts the server down.
    pub(crate) fn stop(mut self) -> PathBuf {
        let _ = diesel::sql_query("SHUTDOWN").execute(&mut self.connect_outside());
        self.process.wait().unwrap();
        self.folder.clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: …{}", self.name, self.log());
        }
        // It may have stopped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
