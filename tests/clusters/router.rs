//! MySQL Router in front of a MySQL server, with connection sharing and without.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel_locks::{Error, Flavor, Lock, Server, TableLock};

use crate::node::{Node, setting};
use crate::{TABLES, ids, insert, orders, until};

const LOCK: Lock = Lock::new("nightly");

fn server(folder: &Path) -> Node {
    let command = setting("DIESEL_LOCKS_MYSQL_COMMAND");
    let path = std::env::var("PATH").unwrap_or_default();
    let server = Node::start(&command, &folder.join("mysql"), &[], &path);
    server.connect_outside().batch_execute(TABLES).unwrap();
    server
}

fn router(folder: &Path, server: &Node, sharing: &str) -> Node {
    let command = setting("DIESEL_LOCKS_ROUTER_COMMAND");
    let path = std::env::var("PATH").unwrap_or_default();
    let options = [server.port().to_string(), sharing.to_owned()];
    Node::start(&command, &folder.join("router"), &options, &path)
}

/// Returns the session at the server, on which the client's statements are run.
fn session(conn: &mut MysqlConnection) -> i64 {
    diesel::select(sql::<BigInt>("CAST(CONNECTION_ID() AS SIGNED)")).get_result(conn).unwrap()
}

/// Returns the session as a statement sees it that Diesel does not prepare, because a prepared one
/// would keep the session for this client.
fn session_in_text(conn: &mut MysqlConnection) -> i64 {
    conn.batch_execute("DELETE FROM orders WHERE id > 1000000").unwrap();
    conn.batch_execute("INSERT INTO orders VALUES (1000000 + CONNECTION_ID())").unwrap();
    ids(conn).pop().unwrap().into()
}

#[test]
fn both_kinds_of_lock_work_through_a_router_without_connection_sharing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let router = router(folder.path(), &server, "off");
    the_router_looks_like_the_server(&router);
    a_named_lock_excludes_and_stays_on_its_session(&router, &server);
    a_client_that_disconnects_releases_its_locks(&router, &server);

    let [mut holder, mut other] = [router.connect(), server.connect()];
    let inserted = LOCK.transaction(&mut holder, |conn| insert(conn, 1)).unwrap();
    assert_eq!(inserted, 1);
    let mut guard = TableLock::new().write::<orders::table>().acquire(&mut holder).unwrap();
    insert(&mut guard, 2).unwrap();
    other.batch_execute("SET lock_wait_timeout = 1").unwrap();
    assert!(insert(&mut other, 3).is_err(), "the table is not locked");
    guard.release().unwrap();
    assert_eq!(ids(&mut other), [1, 2]);
}

#[test]
fn named_locks_work_through_a_router_with_connection_sharing_and_table_locks_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(folder.path());
    let router = router(folder.path(), &server, "on");
    the_router_looks_like_the_server(&router);
    a_named_lock_excludes_and_stays_on_its_session(&router, &server);
    a_client_that_disconnects_releases_its_locks(&router, &server);
    no_two_clients_of_diesel_share_a_session(&router);

    let mut conn = router.connect();
    insert(&mut conn, 1).unwrap();
    for round in 0..2 {
        // The server may still report an error of the statement before, which the library must not
        // take for that of the batch.
        let duplicate = insert(&mut conn, 1);
        assert!(duplicate.is_err());
        let refused = TableLock::new().write::<orders::table>().acquire(&mut conn).map(drop);
        is_refused(refused);
        let refused = LOCK.transaction(&mut conn, |conn| insert(conn, 2)).map(drop);
        is_refused(refused.map_err(Error::from));
        assert!(!LOCK.is_held(&mut conn).unwrap(), "round {round}");
        assert_eq!(ids(&mut conn), [1], "round {round}");
        let autocommit: String =
            diesel::select(sql::<Text>("@@autocommit")).get_result(&mut conn).unwrap();
        assert_eq!(autocommit, "1", "round {round}");
    }
}

fn is_refused(result: Result<(), Error>) {
    match result {
        Err(error @ Error::Unsupported { .. }) => {
            println!("{error}");
            assert!(error.to_string().contains("connection sharing"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

fn the_router_looks_like_the_server(router: &Node) {
    let server = Server::inspect(&mut router.connect()).unwrap();
    assert_eq!(server.flavor, Flavor::MySql);
    assert_eq!(server.warnings(), []);
}

fn a_named_lock_excludes_and_stays_on_its_session(router: &Node, server: &Node) {
    let [mut holder, mut through, mut direct] =
        [router.connect(), router.connect(), server.connect()];
    let mut guard = LOCK.acquire(&mut holder).unwrap();
    for _ in 0..10 {
        let id = u64::try_from(session(&mut guard)).unwrap();
        assert_eq!(LOCK.holding_connection_id(&mut direct).unwrap(), Some(id));
        for other in [&mut through, &mut direct, &mut router.connect()] {
            assert!(LOCK.try_acquire(other).unwrap().is_none(), "two connections hold the lock");
        }
        assert!(guard.is_still_held().unwrap());
    }
    guard.release().unwrap();
    assert!(LOCK.try_acquire(&mut through).unwrap().is_some());
}

/// The router keeps the session, and gives it to the next client.
fn a_client_that_disconnects_releases_its_locks(router: &Node, server: &Node) {
    let mut holder = router.connect();
    LOCK.acquire(&mut holder).unwrap().leak();
    drop(holder);
    let mut direct = server.connect();
    until("the lock is free", || !LOCK.is_held(&mut direct).unwrap());
}

/// Diesel prepares statements as soon as it connects, and the router does not share a session that
/// has prepared any.
fn no_two_clients_of_diesel_share_a_session(router: &Node) {
    let mut clients = [(); 5].map(|()| router.connect());
    let mut sessions: Vec<_> = clients.iter_mut().map(session_in_text).collect();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), clients.len(), "{sessions:?}");
    clients[0].batch_execute("DELETE FROM orders").unwrap();
}
