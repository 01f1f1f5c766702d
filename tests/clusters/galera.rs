//! Two nodes of a MariaDB Galera cluster.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_locks::{Lock, TableLock};

use crate::fences::raise_on_both;
use crate::free_port::free_port;
use crate::node::{Node, setting};
use crate::{
    TABLES, execute, ids, insert, inspect, named_locks_are_local_to_a_node, orders, until,
};

/// Starts a node of the group at a port, or the first node of a new group.
fn node(folder: &Path, group: Option<u16>) -> (Node, u16) {
    let (base, transfer) = (free_port(), free_port());
    let mut options = vec![
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={}", setting("DIESEL_LOCKS_GALERA")),
        format!("--wsrep-node-address=127.0.0.1:{base}"),
        format!(
            "--wsrep-provider-options=base_port={base};gmcast.listen_addr=tcp://127.0.0.1:{base};\
             ist.recv_addr=127.0.0.1:{transfer}"
        ),
        "--wsrep-sst-method=position".to_owned(),
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
    ];
    options.push(match group {
        Some(port) => format!("--wsrep-cluster-address=gcomm://127.0.0.1:{port}"),
        None => "--wsrep-cluster-address=gcomm://".to_owned(),
    });
    if group.is_none() {
        options.push("--wsrep-new-cluster".to_owned());
    }
    let programs = folder.parent().unwrap().display();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let node = Node::start(&setting("DIESEL_LOCKS_MARIADB_COMMAND"), folder, &options, &path);
    until("the node is ready", || {
        let ready = "EXISTS (SELECT 1 FROM information_schema.GLOBAL_STATUS \
                     WHERE VARIABLE_NAME = 'wsrep_ready' AND VARIABLE_VALUE = 'ON')";
        diesel::select(sql::<Bool>(ready)).get_result(&mut node.connect_outside()) == Ok(true)
    });
    (node, base)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Starts two nodes. The second one starts with a copy of the first one's data, which avoids the
/// tools of a real state transfer.
fn cluster(folder: &Path) -> [Node; 2] {
    let program = folder.join("wsrep_sst_position");
    fs::write(&program, include_str!("wsrep_sst_position")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let (first, second) = (folder.join("galera-1"), folder.join("galera-2"));
    let (once, _) = node(&first, None);
    execute_outside(&once, TABLES);
    once.stop();
    copy(&first.join("data"), &second.join("data"));
    let state = second.join("data/grastate.dat");
    let joins = fs::read_to_string(&state).unwrap().replace("bootstrap: 1", "bootstrap: 0");
    fs::write(&state, joins).unwrap();

    let (first, port) = node(&first, None);
    let (second, _) = node(&second, Some(port));
    [first, second]
}

fn execute_outside(node: &Node, sql: &str) {
    node.connect_outside().batch_execute(sql).unwrap();
}

#[test]
fn named_locks_are_local_to_each_node_of_a_galera_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = cluster(folder.path());
    inspection_warns_about_galera(&nodes);
    named_locks_are_local_to_a_node(&nodes);
    a_table_that_one_node_has_locked_is_written_through_the_other(&nodes);
    a_fence_keeps_holders_on_two_nodes_from_losing_an_update(&nodes);
}

/// Both nodes grant the lock. Without a fence one overwrites what the other has committed since it
/// has read.
fn a_fence_keeps_holders_on_two_nodes_from_losing_an_update(nodes: &[Node; 2]) {
    const LOCK: Lock = Lock::new("counter");
    const SYNC: &str = "SET wsrep_sync_wait = 1";
    Lock::create_fences(&mut nodes[0].connect()).unwrap();
    let mut lost = 0;
    for _ in 0..5 {
        let outcome = raise_on_both(nodes, LOCK, SYNC);
        assert_eq!(outcome.missing, 0, "{outcome:?}");
        lost += outcome.lost();
        if lost > 0 {
            break;
        }
    }
    assert!(lost > 0, "the nodes never met, so this shows nothing");
    let mut superseded = 0;
    for _ in 0..5 {
        let outcome = raise_on_both(nodes, LOCK.fenced(), SYNC);
        assert_eq!((outcome.lost(), outcome.missing), (0, 0), "{outcome:?}");
        assert!(outcome.committed > 0, "{outcome:?}");
        superseded += outcome.superseded();
        if superseded > 0 {
            break;
        }
    }
    assert!(superseded > 0, "no holder met a later one");
}

fn inspection_warns_about_galera(nodes: &[Node; 2]) {
    for node in nodes {
        let (server, warnings) = inspect(node);
        assert!(server.galera);
        assert!(warnings.contains("Galera"), "{warnings}");
    }
}

fn a_table_that_one_node_has_locked_is_written_through_the_other(nodes: &[Node; 2]) {
    execute(&nodes[0], "DELETE FROM orders");
    let [mut one, mut other] = nodes.each_ref().map(Node::connect);
    let mut guard = TableLock::new().write::<orders::table>().acquire(&mut one).unwrap();
    // The holder writes nothing itself, because its commit would wait for the other node's write,
    // which would wait for the lock.
    assert_eq!(insert(&mut other, 2), Ok(1), "the other node respects the lock");
    assert_eq!(ids(&mut other), [2]);
    assert_eq!(ids(&mut guard), [0; 0]);
    guard.release().unwrap();
    one.batch_execute("SET wsrep_sync_wait = 1").unwrap();
    assert_eq!(ids(&mut one), [2]);
}
