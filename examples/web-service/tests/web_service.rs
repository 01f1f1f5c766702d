//! The web service, driven with requests at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test fails where it panics.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};

const CONNECTIONS: usize = 4;
const PER_CUSTOMER: usize = 8;

/// How often a request for a customer had a status.
type Answers = BTreeMap<(i32, u16), usize>;

/// The service, with its own database.
struct Service {
    process: Child,
    address: String,
    database: String,
    admin: MysqlConnection,
}

impl Service {
    fn start() -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL is not set: run `./dev test`");
        let mut admin = MysqlConnection::establish(&url).unwrap();
        let database = format!("web_test_{}", std::process::id());
        admin.batch_execute(&format!("CREATE DATABASE {database}; USE {database}")).unwrap();
        let mut process = Command::new(env!("CARGO_BIN_EXE_web-service"))
            .args(["--listen", "127.0.0.1:0", "--connections", &CONNECTIONS.to_string()])
            .env("DATABASE_URL", format!("{}/{database}", url.trim_end_matches('/')))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { process, address, database, admin }
    }

    /// Returns the status, and all that came with it.
    fn charge(address: &str, customer: i32) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        let request = format!(
            "POST /customers/{customer}/charge HTTP/1.1\r\nHost: {address}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }

    /// Sends all requests for customers 1 and 2 at the same time.
    fn charge_at_once(&self) -> Answers {
        let address = &self.address;
        let mut answers = Answers::new();
        thread::scope(|scope| {
            let requests: Vec<_> = [1, 2]
                .repeat(PER_CUSTOMER)
                .into_iter()
                .map(|n| (n, scope.spawn(move || Self::charge(address, n))))
                .collect();
            for (customer, request) in requests {
                let (status, answer) = request.join().unwrap();
                assert!([200, 409, 503].contains(&status), "{answer}");
                let retry = answer.to_lowercase().contains("\r\nretry-after: 1\r\n");
                assert_eq!(status == 503, retry, "{answer}");
                *answers.entry((customer, status)).or_default() += 1;
            }
        });
        answers
    }

    fn paid(&mut self, customer: i32) -> i64 {
        let cents = format!("SELECT SUM(cents) FROM payments WHERE customer_id = {customer}");
        self.number(&format!("CAST(({cents}) AS SIGNED)"))
    }

    fn number(&mut self, expression: &str) -> i64 {
        diesel::select(sql::<BigInt>(expression)).get_result(&mut self.admin).unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = self.admin.batch_execute(&format!("DROP DATABASE {}", self.database));
    }
}

#[test]
fn no_customer_is_charged_twice_and_the_connections_come_back_clean() {
    let mut service = Service::start();
    service
        .admin
        .batch_execute("INSERT INTO customers VALUES (1, 1200), (2, 3400), (3, 0)")
        .unwrap();

    // Another connection holds the lock of customer 1.
    let name = format!("{}.invoice-1", service.database);
    assert_eq!(service.number(&format!("GET_LOCK('{name}', 0)")), 1);
    let answers = service.charge_at_once();
    assert_eq!(answers.get(&(1, 503)), Some(&PER_CUSTOMER), "{answers:?}");
    assert_eq!(answers.get(&(2, 200)), Some(&1), "{answers:?}");
    assert_eq!(service.paid(2), 3400);

    assert_eq!(service.number(&format!("RELEASE_LOCK('{name}')")), 1);
    let answers = service.charge_at_once();
    assert_eq!(answers.get(&(1, 200)), Some(&1), "{answers:?}");
    assert_eq!(answers.get(&(2, 200)), None, "{answers:?}");
    assert_eq!((service.paid(1), service.paid(2)), (1200, 3400));

    // Each connection of the pool works, and none holds a lock.
    for _ in 0..2 * CONNECTIONS {
        assert_eq!(Service::charge(&service.address, 1).0, 409);
        assert_eq!(Service::charge(&service.address, 3).0, 409);
        assert_eq!(Service::charge(&service.address, 4).0, 404);
    }
    for customer in 1..=4 {
        let name = format!("{}.invoice-{customer}", service.database);
        let free = diesel::select(sql::<Bool>(&format!("IS_FREE_LOCK('{name}') = 1")));
        assert!(free.get_result::<bool>(&mut service.admin).unwrap(), "{name}");
    }
}
