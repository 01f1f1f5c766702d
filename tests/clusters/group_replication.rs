//! Two nodes of a MySQL group with one primary.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_locks::{Error, Lock, TableLock};

use crate::free_port::free_port;
use crate::node::{Node, setting};
use crate::{TABLES, fences, insert, inspect, named_locks_are_local_to_a_node, orders, until};

const GROUP: &str = "6a1f7a3e-0f0b-4c7e-9d63-5b1d2c3e4f50";

const RECOVERY: &str = "SET sql_log_bin = 0; \
     CREATE USER recovery IDENTIFIED BY 'recovery'; \
     GRANT REPLICATION SLAVE, BACKUP_ADMIN, CONNECTION_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO recovery; \
     SET sql_log_bin = 1; \
     CHANGE REPLICATION SOURCE TO SOURCE_USER = 'recovery', SOURCE_PASSWORD = 'recovery' \
     FOR CHANNEL 'group_replication_recovery'";

fn node(folder: &Path, id: usize, ports: [u16; 2]) -> Node {
    let options = [
        "--plugin-load-add=group_replication.so".to_owned(),
        "--log-bin".to_owned(),
        "--gtid-mode=ON".to_owned(),
        "--enforce-gtid-consistency=ON".to_owned(),
        format!("--server-id={}", id + 1),
        "--report-host=127.0.0.1".to_owned(),
        format!("--group-replication-group-name={GROUP}"),
        format!("--group-replication-local-address=127.0.0.1:{}", ports[id]),
        format!("--group-replication-group-seeds=127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]),
        "--group-replication-start-on-boot=OFF".to_owned(),
        "--group-replication-recovery-get-public-key=ON".to_owned(),
    ];
    let path = std::env::var("PATH").unwrap_or_default();
    let node = Node::start(&setting("DIESEL_LOCKS_MYSQL_COMMAND"), folder, &options, &path);
    node.connect_outside().batch_execute(RECOVERY).unwrap();
    node
}

fn cluster(folder: &Path) -> [Node; 2] {
    let ports = [free_port(), free_port()];
    let nodes = [0, 1].map(|id| node(&folder.join(format!("mysql-{}", id + 1)), id, ports));
    let begin = "SET GLOBAL group_replication_bootstrap_group = ON; START GROUP_REPLICATION; \
                 SET GLOBAL group_replication_bootstrap_group = OFF";
    nodes[0].connect_outside().batch_execute(begin).unwrap();
    nodes[0].connect_outside().batch_execute(TABLES).unwrap();
    nodes[1].connect_outside().batch_execute("START GROUP_REPLICATION").unwrap();
    for node in &nodes {
        until("both are members", || online(node) == 2);
    }
    nodes
}

fn online(node: &Node) -> i64 {
    let count = "(SELECT COUNT(*) FROM performance_schema.replication_group_members \
                 WHERE MEMBER_STATE = 'ONLINE')";
    diesel::select(sql::<BigInt>(count)).get_result(&mut node.connect_outside()).unwrap()
}

#[test]
fn locks_are_local_to_each_member_of_a_replication_group() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = cluster(folder.path());
    inspection_reports_the_role_of_each_member(&nodes);
    named_locks_are_local_to_a_node(&nodes);
    a_secondary_refuses_to_lock_tables_for_writing(&nodes);
    locks_stay_behind_when_another_becomes_the_primary(&nodes);
    make_primary(&nodes[0]);
    a_failover_does_not_let_a_former_holder_overwrite(&nodes);
    a_failover_in_a_transaction_commits_nothing(&nodes);
}

fn inspection_reports_the_role_of_each_member(nodes: &[Node; 2]) {
    for (node, (expected, read_only)) in nodes.iter().zip([("PRIMARY", false), ("SECONDARY", true)])
    {
        let (server, warnings) = inspect(node);
        let group = server.group_replication.unwrap();
        assert_eq!(group.role.as_deref(), Some(expected));
        assert_eq!((group.state.as_deref(), group.members), (Some("ONLINE"), Some(2)));
        assert!(group.single_primary);
        assert_eq!(server.read_only, read_only, "{expected}");
        assert!(warnings.contains("Group Replication"), "{warnings}");
    }
}

fn a_secondary_refuses_to_lock_tables_for_writing(nodes: &[Node; 2]) {
    let [mut primary, mut secondary] = nodes.each_ref().map(Node::connect);
    let lock = TableLock::new().write::<orders::table>();
    let mut guard = lock.acquire(&mut primary).unwrap();
    insert(&mut guard, 1).unwrap();
    let refused = lock.acquire(&mut secondary).map(drop);
    assert!(matches!(refused, Err(Error::Diesel(_))), "{refused:?}");
    guard.release().unwrap();
}

fn locks_stay_behind_when_another_becomes_the_primary(nodes: &[Node; 2]) {
    const LOCK: Lock = Lock::new("nightly");
    let [mut holder, mut other] = nodes.each_ref().map(Node::connect);
    let mut guard = LOCK.acquire(&mut holder).unwrap();
    make_primary(&nodes[1]);
    until("the second is the primary", || insert(&mut other, 100).is_ok());
    assert!(guard.is_still_held().unwrap());
    assert!(insert(&mut guard, 101).is_err(), "the first still takes writes");
    assert!(LOCK.try_acquire(&mut other).unwrap().is_some(), "the lock has moved");
    guard.release().unwrap();
}

/// Makes the node the primary, and ends the transactions that are open on the other.
fn make_primary(node: &Node) {
    let mut conn = node.connect();
    let id: String = diesel::select(sql::<Text>("@@server_uuid")).get_result(&mut conn).unwrap();
    let switch = format!("SELECT group_replication_set_as_primary('{id}', 0)");
    conn.batch_execute(&switch).unwrap();
    let writable = "@@super_read_only = 0";
    until("it is writable", || {
        diesel::select(sql::<Bool>(writable)).get_result(&mut conn) == Ok(true)
    });
}

/// The holder works on the first node. Another becomes the primary, and another holder works there.
/// Then the first is the primary again, and its holder still has its lock, and goes on with what it
/// has read before.
fn a_failover_does_not_let_a_former_holder_overwrite(nodes: &[Node; 2]) {
    const LOCK: Lock = Lock::new("counter");
    Lock::create_fences(&mut nodes[0].connect()).unwrap();
    for lock in [LOCK, LOCK.fenced()] {
        let is_fenced = lock != LOCK;
        let mut former = nodes[0].connect();
        let mut guard = lock.acquire(&mut former).unwrap();
        let before = guard.transaction(fences::read).unwrap();
        make_primary(&nodes[1]);
        let mut later = nodes[1].connect();
        lock.transaction(&mut later, fences::raise).unwrap();
        make_primary(&nodes[0]);
        let mut seen = nodes[0].connect();
        until("the write is here", || fences::read(&mut seen) == Ok(before + 1));
        assert!(guard.is_still_held().unwrap());
        let written = guard.transaction(|conn| fences::write(conn, before + 1));
        let written = written.map_err(Error::from);
        if is_fenced {
            assert!(matches!(written, Err(Error::Superseded { .. })), "{written:?}");
            println!("fenced: two holders, one commit, counter raised by 1");
        } else {
            // Two have raised it, and it is greater by one.
            written.unwrap();
            println!("without a fence: two holders, two commits, counter raised by 1, one lost");
        }
        assert_eq!(fences::read(&mut seen), Ok(before + 1));
        guard.release().unwrap();
    }
}

/// The primary changes while a holder has written, but not committed.
fn a_failover_in_a_transaction_commits_nothing(nodes: &[Node; 2]) {
    let lock = Lock::new("counter").fenced();
    let mut holder = nodes[0].connect();
    let before = fences::read(&mut holder).unwrap();
    let ended = lock.transaction(&mut holder, |conn| {
        fences::raise(conn)?;
        make_primary(&nodes[1]);
        lock.transaction(&mut nodes[1].connect(), fences::raise)?;
        fences::raise(conn)
    });
    println!("the holder during whose transaction the primary changed: {ended:?}");
    ended.unwrap_err();
    let mut seen = nodes[1].connect();
    assert_eq!(fences::read(&mut seen), Ok(before + 1), "only the later holder has committed");
    make_primary(&nodes[0]);
}
