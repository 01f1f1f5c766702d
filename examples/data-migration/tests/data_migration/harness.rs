//! A database for each test, and the program in it.

use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_data-migration");

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Dropped at the end of the test, with all that still uses it.
pub(crate) struct Database {
    name: String,
}

impl Database {
    /// Returns a database with this many pizzerias, of which nine in ten have a wrong fee.
    pub(crate) fn with_pizzerias(purpose: &str, rows: u32) -> Self {
        let database = Self::empty(purpose);
        let seeded = database.run(&["--seed", &rows.to_string(), "--dry-run"]);
        assert_eq!(seeded.status.code(), Some(0), "{seeded:?}");
        database
    }

    pub(crate) fn empty(purpose: &str) -> Self {
        let name = format!("data_migration_{purpose}_{}", std::process::id());
        let mut conn = connect("");
        conn.batch_execute(&format!("CREATE DATABASE `{name}`")).unwrap();
        Self { name }
    }

    pub(crate) fn connect(&self) -> MysqlConnection {
        connect(&self.name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(args).env("DATABASE_URL", url(&self.name));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running(Some(self.command(args).spawn().unwrap()))
    }

    /// Makes a repair of this row wait in the middle of the statement, until the gate is opened.
    pub(crate) fn close_gate(&self, row: u32) -> Gate {
        let mut conn = self.connect();
        let gate = format!("gate of {}", std::process::id()) + &row.to_string() + &self.name;
        let gate = &gate[gate.len().saturating_sub(60)..];
        conn.batch_execute(&format!(
            "CREATE TRIGGER gate BEFORE UPDATE ON pizzerias FOR EACH ROW
                 SET @gate = IF(NEW.restaurant_id = {row}, GET_LOCK('{gate}', 60), 0);
             DO GET_LOCK('{gate}', 0)"
        ))
        .unwrap();
        Gate { holder: Some(conn), database: self.name.clone() }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let mut conn = connect("");
        for id in connections(&mut conn, &self.name, "TRUE") {
            // It may be gone by then.
            let _ = conn.batch_execute(&format!("KILL CONNECTION {id}"));
        }
        let dropped = conn.batch_execute(&format!("DROP DATABASE `{}`", self.name));
        assert!(dropped.is_ok() || thread::panicking(), "{dropped:?}");
    }
}

pub(crate) struct Gate {
    holder: Option<MysqlConnection>,
    database: String,
}

impl Gate {
    /// Waits until the program stands before the gate, and answers with its connection.
    pub(crate) fn until_reached(&self) -> i64 {
        self.until("a repair waits at the gate", "STATE LIKE 'User%lock'")
    }

    /// Blocks until a connection waits for a table, and returns its ID.
    pub(crate) fn until_kept_out(&self) -> i64 {
        self.until("a connection waits for a table", "STATE LIKE 'Waiting for table%'")
    }

    fn until(&self, what: &str, condition: &str) -> i64 {
        let mut conn = connect("");
        let mut seen = None;
        until(what, || {
            seen = connections(&mut conn, &self.database, condition).first().copied();
            seen.is_some()
        });
        seen.unwrap()
    }

    pub(crate) fn open(&mut self) {
        self.holder = None;
    }
}

/// The program, ended with the test.
pub(crate) struct Running(Option<Child>);

impl Running {
    pub(crate) fn kill(mut self) {
        let mut child = self.0.take().unwrap();
        child.kill().unwrap(); // SIGKILL
        assert_eq!(child.wait().unwrap().code(), None);
    }

    pub(crate) fn end(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn until_gone(connection: i64) {
    let mut conn = connect("");
    until("the server has ended the connection", || {
        let exists = format!(
            "NOT EXISTS (SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = {connection})"
        );
        diesel::select(sql::<Bool>(&exists)).get_result(&mut conn).unwrap()
    });
}

fn connections(conn: &mut MysqlConnection, database: &str, condition: &str) -> Vec<i64> {
    #[derive(QueryableByName)]
    struct Process {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    let query = format!(
        "SELECT CAST(ID AS SIGNED) AS id FROM information_schema.PROCESSLIST
         WHERE DB = ? AND {condition}"
    );
    let rows = diesel::sql_query(query).bind::<Text, _>(database).load::<Process>(conn).unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// How many fees are wrong, and a sum that another order or another fee would change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fees {
    pub(crate) wrong: i64,
    sum: Option<i64>,
}

pub(crate) fn fees(conn: &mut MysqlConnection) -> Fees {
    let from = "FROM pizzerias
        JOIN restaurants ON place_id = restaurant_id
        JOIN places ON places.id = place_id
        JOIN tariffs ON tariffs.id = tariff_id";
    let wrong = format!("(SELECT COUNT(*) {from} WHERE fee_cents <> seats * cents_per_seat)");
    let sum = "(SELECT CAST(SUM(restaurant_id * fee_cents) AS SIGNED) FROM pizzerias)";
    let (wrong, sum) = diesel::select((sql::<BigInt>(&wrong), sql::<Nullable<BigInt>>(sum)))
        .get_result(conn)
        .unwrap();
    Fees { wrong, sum }
}

fn connect(database: &str) -> MysqlConnection {
    let url = url(database);
    MysqlConnection::establish(&url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// Returns a database of the server that `DATABASE_URL` names.
fn url(database: &str) -> String {
    let url = std::env::var("DATABASE_URL")
        .unwrap_or_else(|_| panic!("DATABASE_URL is not set: run `./dev test`"));
    let (address, options) = url.split_once('?').unwrap_or((&url, ""));
    let host = address.strip_prefix("mysql://").unwrap().split('/').next().unwrap();
    format!("mysql://{host}/{database}?{options}")
}
