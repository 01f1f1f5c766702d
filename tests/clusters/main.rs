//! Locks in real clusters of two nodes: whether a node respects the locks of the other, and what
//! `Server` reports.
//!
//! `./dev test clusters` runs it, and sets the environment variables that it needs.
// Tests unwrap what they expect, and their names are their documentation.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod fences;
#[path = "../integration/support/free_port.rs"]
mod free_port;
mod galera;
mod group_replication;
mod node;
mod router;
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

const TABLES: &str = "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY); \
     CREATE TABLE shop.counters (id INT PRIMARY KEY, value BIGINT NOT NULL); \
     INSERT INTO shop.counters VALUES (1, 0)";

fn insert(conn: &mut MysqlConnection, id: i32) -> QueryResult<usize> {
    diesel::insert_into(orders::table).values(orders::id.eq(id)).execute(conn)
}

fn ids(conn: &mut MysqlConnection) -> Vec<i32> {
    orders::table.select(orders::id).order(orders::id).load(conn).unwrap()
}

/// Inspects the server, and prints its warnings.
fn inspect(node: &Node) -> (Server, String) {
    let server = Server::inspect(&mut node.connect()).unwrap();
    let warnings: Vec<_> = server.warnings().iter().map(ToString::to_string).collect();
    println!("{} warns:", node.name());
    for warning in &warnings {
        println!("- {warning}");
    }
    (server, warnings.join("\n"))
}

/// Checks that each node grants the lock once.
fn named_locks_are_local_to_a_node(nodes: &[Node; 2]) {
    const LOCK: Lock = Lock::new("nightly");
    let [mut one, mut other] = nodes.each_ref().map(Node::connect);
    let first = LOCK.acquire(&mut one).unwrap();
    let second = LOCK.acquire(&mut other).unwrap();
    for node in nodes {
        let third = LOCK.try_acquire(&mut node.connect()).unwrap().is_some();
        assert!(!third, "{} grants its own lock twice", node.name());
    }
    first.release().unwrap();
    assert!(LOCK.is_held(&mut nodes[1].connect()).unwrap());
    second.release().unwrap();
}

fn execute(node: &Node, sql: &str) {
    node.connect().batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}
