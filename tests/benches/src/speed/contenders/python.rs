//! Python's `mysqlclient`, the driver of Django: a child process that does the same again and
//! again.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::Contender;

/// As `django_mysql.locks.TableLock` calls the driver, by way of Django: without the time that
/// Django itself takes.
const PROGRAM: &str = include_str!("five_statements.py");

/// None if there is no Python with this driver.
pub(super) fn five_statements(url: &str) -> Option<Contender> {
    let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_driver = Command::new(&python)
        .args(["-c", "import MySQLdb"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_driver {
        eprintln!("{python} cannot import MySQLdb: the driver of Django is not measured");
        return None;
    }
    let url = Url::parse(url).expect("DATABASE_URL is an address");
    let text = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let socket = url.query_pairs().find(|(key, _)| key == "unix_socket");
    let child = Command::new(python)
        .args(["-c", PROGRAM])
        .args([url.host_str().unwrap_or_default(), &url.port().unwrap_or(3306).to_string()])
        .arg(socket.map_or_else(String::new, |(_, path)| path.into_owned()))
        .args([text(url.username()), url.password().map_or_else(String::new, text)])
        .arg(url.path().trim_start_matches('/'))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python starts");
    let mut python = Python::new(child);
    let id = python.child.id();
    // Until it has connected.
    python.run(0);
    Some(Contender {
        name: "Django's driver, five statements",
        run: Box::new(move |times| python.run(times)),
        is_countable: true,
        helper: Some(id),
    })
}

struct Python {
    child: Child,
    /// The program ends when this does.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Python {
    fn new(mut child: Child) -> Self {
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("piped"));
        Self { child, input, output: BufReader::new(output) }
    }

    fn run(&mut self, times: u64) -> Duration {
        let input = self.input.as_mut().expect("piped");
        writeln!(input, "{times}").expect("Python runs");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("Python runs");
        Duration::from_nanos(line.trim().parse().expect("Python returns nanoseconds"))
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}
