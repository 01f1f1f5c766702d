//! Locks in real clusters, of two nodes each: what each node knows of the other's locks, and what `Server` says there.
//!
//! `./dev test clusters` runs it, and sets what it needs.
// A test says what it expects by unwrapping it, and its name is its documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../integration/support/free_port.rs"]
mod free_port;
mod galera;
mod group_replication;
mod node;
#[path = "../integration/support/wait.rs"]
mod wait;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel_locks::{Lock, Server};

use crate::node::Node;
use crate::wait::until;

diesel::table! {
    orders (id) {
        id -> Integer,
    }
}

const TABLES: &str = "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY)";

fn insert(conn: &mut MysqlConnection, id: i32) -> QueryResult<usize> {
    diesel::insert_into(orders::table).values(orders::id.eq(id)).execute(conn)
}

fn ids(conn: &mut MysqlConnection) -> Vec<i32> {
    orders::table.select(orders::id).order(orders::id).load(conn).unwrap()
}

/// What the server is, with its warnings printed.
fn inspect(node: &Node) -> (Server, String) {
    let server = Server::inspect(&mut node.connect()).unwrap();
    let warnings: Vec<_> = server.warnings().iter().map(ToString::to_string).collect();
    println!("{} warns:", node.name());
    for warning in &warnings {
        println!("- {warning}");
    }
    (server, warnings.join("\n"))
}

/// Both nodes give the lock away, each once.
fn each_node_has_named_locks_of_its_own(nodes: &[Node; 2]) {
    const LOCK: Lock = Lock::new("nightly");
    let [mut one, mut other] = nodes.each_ref().map(Node::connect);
    let first = LOCK.acquire(&mut one).unwrap();
    let second = LOCK.acquire(&mut other).unwrap();
    for node in nodes {
        let third = LOCK.try_acquire(&mut node.connect()).unwrap().is_some();
        assert!(!third, "{} does not exclude even its own", node.name());
    }
    first.release().unwrap();
    assert!(LOCK.is_held(&mut nodes[1].connect()).unwrap());
    second.release().unwrap();
}

fn execute(node: &Node, sql: &str) {
    node.connect().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}
