//! What a lock costs, beside what it costs without this library. Run by `./dev bench`, explained in
//! `docs/performance.md`.
//!
//! Needs `DATABASE_URL`, a server on which databases may be created, reached by TCP; with
//! `DIESEL_LOCKS_SOCKET`, its socket, that way is measured, too, and with
//! `DIESEL_LOCKS_SERVER_PROCESS`, the server's process ID, by the processor time that both sides
//! use. With `DIESEL_LOCKS_CORES`, two numbers, this program runs on the first of these cores to
//! measure the socket, and on the second one to measure TCP. The table comes last.
//!
//! `DIESEL_LOCKS_PICTURE` is the picture to write: with a panel for this server, and those of the
//! other servers that it has already.

mod clock;
mod contenders;
mod measure;
mod picture;
// Of the integration tests; not all of it is needed here.
#[allow(dead_code, reason = "the tests also cut connections")]
#[path = "../../../integration/support/proxy.rs"]
mod proxy;
mod raw;
#[allow(dead_code, reason = "the tests also look at other connections")]
#[path = "../../../integration/support/server.rs"]
mod server;
mod table;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Text;

use self::clock::Clock;
use self::contenders::{
    Contender, TABLE, awaited_named, awaited_tables, databases, hand_off, inspect, named, other,
    tables, transactions,
};
use self::measure::measure;
use self::proxy::Proxy;
use self::table::{Counts, Group, Row, Table};

/// For the proxy and the server's connections, which the tests also use.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, mut seen: impl FnMut() -> bool) {
    assert!(seen(), "not seen: {what}");
}

/// Returns the name and version of the server under test.
fn version() -> String {
    let version = diesel::select(sql::<Text>("VERSION()")).get_result(&mut server::connect());
    let version: String = version.unwrap();
    let number = version.split('-').next().unwrap_or_default();
    if server::is_mysql() { format!("MySQL {number}") } else { format!("MariaDB {number}") }
}

fn main() {
    let database = Database::new();
    let ways = database.ways();
    let mut groups = GROUPS.map(|(title, floor, by_hand, contenders)| {
        let rows = count(contenders, &database);
        (Group { title, floor, by_hand, rows }, contenders)
    });
    for way in &ways {
        way.pin();
        for (group, contenders) in &mut groups {
            let mut contenders = contenders(&way.url, &database.name);
            let title = format!("{}, {}", group.title, way.name);
            let samples = measure(&title, &mut contenders, way.clock, &criterion_folder());
            for (row, samples) in group.rows.iter_mut().zip(samples) {
                row.samples.push(samples);
            }
        }
    }
    let table = Table {
        ways: ways.iter().map(|way| way.name).collect(),
        groups: groups.into_iter().map(|(group, _)| group).collect(),
    };
    println!("\n{table}");
    if let Ok(picture) = env::var("DIESEL_LOCKS_PICTURE") {
        picture::update(Path::new(&picture), &version(), &table);
    }
}

/// All the contenders for one thing.
type Contenders = fn(url: &str, database: &str) -> Vec<Contender>;

/// What is measured, with the rows of the C client (or of the async driver) and of Diesel without
/// this library.
const GROUPS: [(&str, Option<usize>, Option<usize>, Contenders); 8] = [
    ("Named lock, acquired and released", Some(0), Some(3), named),
    ("Named lock, from its holder to a waiter", Some(0), None, hand_off),
    ("Whether a named lock is held", Some(0), Some(1), inspect),
    ("Transaction under a named lock", Some(0), Some(1), transactions),
    ("Named lock, databases in turn", None, None, databases),
    ("Table lock, acquired and released", Some(0), Some(1), tables),
    ("Named lock, async", Some(0), Some(2), awaited_named),
    ("Table lock, async", Some(0), Some(2), awaited_tables),
];

/// What can be counted, of warm connections.
fn count(contenders: Contenders, database: &Database) -> Vec<Row> {
    let proxy = Proxy::new();
    let url = server::url_through(&proxy.host(), &database.name);
    let counted = contenders(&url, &database.name).into_iter().map(|contender| {
        let Contender { name, mut run, is_countable, .. } = contender;
        // Two are one turn of two connections.
        run(4);
        let counts = is_countable.then(|| Counts {
            round_trips: proxy.record(|| _ = run(1)).len(),
            allocations: allocation_counter::measure(|| _ = run(1)).count_total,
        });
        Row { name, counts, samples: Vec::new() }
    });
    counted.collect()
}

/// Where criterion keeps what it has measured.
fn criterion_folder() -> PathBuf {
    let this = env::current_exe().expect("this program is a file");
    let target = this.ancestors().nth(3).expect("in target/release/deps");
    target.join("criterion")
}

/// A way to the server.
struct Way {
    name: &'static str,
    url: String,
    core: Option<String>,
    clock: Clock,
}

impl Way {
    /// Takes this thread to its core, and the threads and processes that it will start.
    fn pin(&self) {
        let Some(core) = &self.core else { return };
        let pinned =
            Command::new("taskset").args(["-cp", core, &process::id().to_string()]).output();
        assert!(pinned.is_ok_and(|output| output.status.success()), "taskset {core}");
    }
}

/// Databases of our own, dropped in the end.
struct Database {
    name: String,
}

impl Database {
    fn new() -> Self {
        let name = format!("diesel_locks_bench_{}", process::id());
        let table = format!("CREATE TABLE {name}.{TABLE} (id INT PRIMARY KEY) ENGINE = InnoDB");
        let other = format!("CREATE DATABASE {}", other(&name));
        server::connect()
            .batch_execute(&format!("CREATE DATABASE {name}; {table}; {other}"))
            .unwrap();
        Self { name }
    }

    fn ways(&self) -> Vec<Way> {
        let cores = env::var("DIESEL_LOCKS_CORES").ok();
        let mut cores = cores.iter().flat_map(|cores| cores.split(' ')).map(str::to_owned);
        let server = env::var("DIESEL_LOCKS_SERVER_PROCESS").ok();
        let server = server.map(|id| id.parse().expect("the ID of a process"));
        let socket = env::var("DIESEL_LOCKS_SOCKET").ok().map(|path| Way {
            name: if server.is_some() { "work" } else { "socket" },
            url: format!("{}?unix_socket={path}", server::url_through("localhost", &self.name)),
            core: cores.next(),
            clock: server.map_or(Clock::Wall, |server| Clock::Processor { server }),
        });
        let tcp = Way {
            name: "TCP",
            url: server::url_through(server::host(), &self.name),
            core: cores.next(),
            clock: Clock::Wall,
        };
        socket.into_iter().chain([tcp]).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = &self.name;
        let drop = format!("DROP DATABASE {name}; DROP DATABASE {}", other(name));
        let _ = server::connect().batch_execute(&drop);
    }
}
