//! What a lock costs, beside what it costs without this library. Run by `./dev bench`, explained in
//! `docs/performance.md`.
//!
//! Needs `DATABASE_URL`, a server on which databases may be created, reached by TCP; with
//! `DIESEL_LOCKS_SOCKET`, its socket, that way is measured too. The tables come last.

mod contenders;
mod measure;
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
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use diesel::connection::SimpleConnection;

use self::contenders::{Contender, TABLE, named, tables};
use self::measure::measure;
use self::proxy::Proxy;
use self::table::{Row, Table, Way};

/// For the proxy and the server's connections, which the tests also use.
const PATIENCE: Duration = Duration::from_secs(30);

fn until(what: &str, mut seen: impl FnMut() -> bool) {
    assert!(seen(), "not seen: {what}");
}

fn main() {
    let database = Database::new();
    let ways = database.ways();
    let pair = "named lock, acquired and released";
    let pair = compare(pair, &database, &ways, named, &[(0, "floor"), (3, "`sql_query`")]);
    let table = "table lock, acquired and released";
    let table = compare(table, &database, &ways, tables, &[(0, "floor"), (1, "batches")]);
    println!("\n{pair}\n{table}");
}

/// All the contenders for one kind of lock.
type Contenders = fn(url: &str, database: &str) -> Vec<Contender>;

fn compare(
    title: &'static str,
    database: &Database,
    ways: &[(&'static str, String)],
    contenders: Contenders,
    bases: &'static [(usize, &'static str)],
) -> Table {
    let proxy = Proxy::new();
    let counted = contenders(&server::url_through(&proxy.host(), &database.name), &database.name);
    let rows = counted.into_iter().map(|contender| count(contender, &proxy)).collect();
    let into = criterion_folder();
    let measured = ways.iter().map(|(way, url)| {
        let mut contenders = contenders(url, &database.name);
        Way { name: way, medians: measure(&format!("{title}, {way}"), &mut contenders, &into) }
    });
    Table { title, rows, ways: measured.collect(), bases }
}

/// What can be counted, of a warm connection.
fn count(contender: Contender, proxy: &Proxy) -> Row {
    let Contender { name, mut run } = contender;
    run();
    let round_trips = proxy.record(&mut run).len();
    let allocations = allocation_counter::measure(&mut run).count_total;
    Row { name, round_trips, allocations }
}

/// Where criterion keeps what it has measured.
fn criterion_folder() -> PathBuf {
    let this = env::current_exe().expect("this program is a file");
    let target = this.ancestors().nth(3).expect("in target/release/deps");
    target.join("criterion")
}

/// A database of our own, dropped in the end.
struct Database {
    name: String,
}

impl Database {
    fn new() -> Self {
        let name = format!("diesel_locks_bench_{}", process::id());
        let table = format!("CREATE TABLE {name}.{TABLE} (id INT PRIMARY KEY) ENGINE = InnoDB");
        server::connect().batch_execute(&format!("CREATE DATABASE {name}; {table}")).unwrap();
        Self { name }
    }

    /// How the server is reached, and the address for it.
    fn ways(&self) -> Vec<(&'static str, String)> {
        let tcp = server::url_through(server::host(), &self.name);
        let socket = env::var("DIESEL_LOCKS_SOCKET").ok().map(|path| {
            let host = "localhost";
            ("socket", format!("{}?unix_socket={path}", server::url_through(host, &self.name)))
        });
        socket.into_iter().chain([("TCP", tcp)]).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = server::connect().batch_execute(&format!("DROP DATABASE {}", self.name));
    }
}
