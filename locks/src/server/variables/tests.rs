// A test says what it expects by unwrapping it.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::Warning;

fn row(name: &str, value: &str) -> VariableRow {
    (Some(name.as_bytes().to_vec()), Some(value.as_bytes().to_vec()))
}

fn variables(rows: &[(&str, &str)]) -> Variables {
    Variables::read(rows.iter().map(|(name, value)| row(name, value)).collect())
}

const MYSQL: &[(&str, &str)] = &[
    ("version", "9.7.4-2"),
    ("version_comment", "(Debian)"),
    ("innodb_table_locks", "ON"),
    ("performance_schema", "ON"),
    ("log_bin", "ON"),
    ("binlog_format", "ROW"),
    (pseudo::READABLE, "metadata_locks"),
    (pseudo::READABLE, "threads"),
    (pseudo::READABLE, "setup_instruments"),
    (pseudo::READABLE, "setup_consumers"),
    (pseudo::INSTRUMENT, "YES"),
    (pseudo::CONSUMER, "YES"),
];

const MARIADB: &[(&str, &str)] = &[
    ("VERSION", "10.11.19-MariaDB-0+deb12u1"),
    ("VERSION_COMMENT", "Debian 12"),
    ("INNODB_TABLE_LOCKS", "ON"),
    ("PERFORMANCE_SCHEMA", "OFF"),
];

fn with(base: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]) -> Variables {
    variables(&[base, more].concat())
}

fn flavor(version: &str, comment: &str) -> Flavor {
    variables(&[("version", version), ("version_comment", comment), ("innodb_table_locks", "1")])
        .flavor()
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    let names = [
        "version",
        "VERSION_COMMENT",
        "binlog_format",
        "wsrep_on",
        "group_replication_group_name",
        pseudo::PLUGIN,
        pseudo::READABLE,
        pseudo::INSTRUMENT,
        pseudo::CONSUMER,
        pseudo::MEMBER,
        "8.0.36-28",
        "10.11.19-MariaDB",
        "this ONLINE PRIMARY",
        "ON",
    ];
    prop_oneof![
        3 => prop::sample::select(names.to_vec()).prop_map(|name| Some(name.as_bytes().to_vec())),
        1 => prop::option::of(prop::collection::vec(any::<u8>(), 0..30)),
    ]
}

proptest! {
    #[test]
    fn whatever_a_server_says_of_itself_is_read(
        rows in prop::collection::vec((bytes(), bytes()), 0..30),
    ) {
        let server = Variables::read(rows).server();
        let known = [Flavor::MySql, Flavor::MariaDb, Flavor::Percona].contains(&server.flavor);
        prop_assert_eq!(server.name_limit.is_some(), known);
        prop_assert_eq!(server.names_differ_by_case.is_some(), known);
        let unknown = [Warning::UnknownServer, Warning::TiDb, Warning::Vitess];
        let warned = server.warnings().iter().any(|warning| unknown.contains(warning));
        prop_assert_eq!(warned, !known);
        prop_assert_eq!(server.warnings().contains(&Warning::Galera), server.galera);
    }

    #[test]
    fn variables_are_read_in_any_order(
        rows in Just(MYSQL.to_vec()).prop_shuffle(),
    ) {
        prop_assert_eq!(variables(&rows).server(), variables(MYSQL).server());
    }

    #[test]
    fn a_version_is_read_whatever_follows_it(
        numbers: [u16; 3],
        suffix in "([-+~ a-zA-Z][-+~.a-zA-Z0-9]{0,20})?",
    ) {
        let [major, minor, patch] = numbers;
        let version = format!("{major}.{minor}.{patch}{suffix}");
        let read = super::numbers(&version);
        prop_assert_eq!(read, Some(numbers.map(u32::from)));
        let behind_a_proxy = super::numbers(&format!("5.5.5-{version}"));
        prop_assert_eq!(behind_a_proxy, read);
    }

    #[test]
    fn any_text_may_stand_for_a_version(version in ".{0,30}") {
        super::numbers(&version);
    }

    #[test]
    fn members_are_counted_and_this_one_is_found(
        others in 0_usize..8,
        state in "[A-Z]{1,10}",
        role in "(PRIMARY|SECONDARY)?",
    ) {
        let this = format!("this {state} {role}");
        let mut rows = MYSQL.to_vec();
        rows.push(("group_replication_group_name", "group"));
        rows.push((pseudo::MEMBER, &this));
        rows.extend(vec![(pseudo::MEMBER, "other ONLINE SECONDARY"); others]);
        let group = variables(&rows).server().group_replication.unwrap();
        prop_assert_eq!(group.state.as_deref(), Some(state.as_str()));
        prop_assert_eq!(group.role.as_deref().unwrap_or_default(), role);
        prop_assert_eq!(group.members, Some(others + 1));
    }
}

#[test]
fn flavors_are_recognized_by_their_versions() {
    for (version, comment, expected) in [
        ("9.7.4-2", "(Debian)", Flavor::MySql),
        ("8.0.36", "MySQL Community Server - GPL", Flavor::MySql),
        ("8.0.36-0ubuntu0.22.04.1", "(Ubuntu)", Flavor::MySql),
        ("5.7.44-rds.20240408-log", "Source distribution", Flavor::MySql),
        ("8.0.36-28", "Percona Server (GPL), Release 28, Revision 47601f19", Flavor::Percona),
        ("8.0.36-28.1", "Percona XtraDB Cluster (GPL), Release rel28", Flavor::Percona),
        ("10.11.19-MariaDB-0+deb12u1", "Debian 12", Flavor::MariaDb),
        ("5.5.5-10.6.1-MariaDB", "mariadb.org binary distribution", Flavor::MariaDb),
        ("8.0.11-TiDB-v8.5.0", "TiDB Server (Apache License 2.0)", Flavor::TiDb),
        ("8.0.30-Vitess", "Version: 19.0.0", Flavor::Vitess),
        ("5.7.32", "SingleStoreDB source distribution", Flavor::Unknown),
        ("next", "something else", Flavor::Unknown),
        ("", "", Flavor::Unknown),
    ] {
        assert_eq!(flavor(version, comment), expected, "{version} {comment}");
    }
    assert_eq!(variables(&[("version", "8.0.36")]).flavor(), Flavor::Unknown);
}

#[test]
fn a_usual_server_has_no_warnings() {
    for rows in [MYSQL, MARIADB] {
        assert_eq!(variables(rows).server().warnings(), []);
    }
}

#[test]
fn everything_unsafe_has_a_warning() {
    for (more, expected) in [
        (&[("binlog_format", "STATEMENT"), ("log_bin", "ON")][..], Warning::StatementReplication),
        (&[("wsrep_on", "ON")], Warning::Galera),
        (&[("read_only", "ON")], Warning::ReadOnly),
        (&[("read_only", "NO_LOCK_NO_ADMIN")], Warning::ReadOnly),
        (&[("super_read_only", "1")], Warning::ReadOnly),
        (&[("innodb_table_locks", "OFF")], Warning::NoInnodbTableLocks),
        (&[("innodb_deadlock_detect", "OFF")], Warning::NoDeadlockDetection),
        (&[("version", "5.6.51")], Warning::OneLockPerConnection),
        (&[("version", "8.0.11-TiDB-v8.5.0")], Warning::TiDb),
        (&[("version", "8.0.30-Vitess")], Warning::Vitess),
        (&[("version", "next")], Warning::UnknownServer),
        // This user may not see whether it is a member.
        (&[("group_replication_group_name", "a")], Warning::GroupReplication),
        (
            &[("group_replication_group_name", "a"), (pseudo::MEMBER, "this ONLINE PRIMARY")],
            Warning::GroupReplication,
        ),
    ] {
        let warnings = with(MYSQL, more).server().warnings();
        assert_eq!(warnings, [expected], "{more:?}");
        let text = expected.to_string();
        assert!(text.contains(". ") && !text.contains('\n') && !text.ends_with('.'), "{text}");
    }
}

#[test]
fn settings_that_are_not_in_use_have_no_warning() {
    for more in [
        &[("binlog_format", "STATEMENT"), ("log_bin", "OFF")][..],
        &[("binlog_format", "MIXED")],
        &[("group_replication_group_name", "")],
        &[("group_replication_group_name", "a"), (pseudo::MEMBER, "this OFFLINE ")],
        // Before the server was in the group for the first time it has no identity there.
        &[("group_replication_group_name", "a"), (pseudo::MEMBER, "other OFFLINE ")],
    ] {
        assert_eq!(with(MYSQL, more).server().warnings(), [], "{more:?}");
    }
}

#[test]
fn the_remedy_is_the_one_that_helps() {
    let nowhere = |variables: Variables| match variables.server().lock_listing {
        LockListing::Nowhere { remedy } => remedy,
        elsewhere => panic!("{elsewhere:?}"),
    };
    assert_eq!(variables(MYSQL).server().lock_listing, LockListing::PerformanceSchema);
    assert!(nowhere(with(MYSQL, &[(pseudo::INSTRUMENT, "NO")])).contains("setup_instruments"));
    assert!(nowhere(with(MYSQL, &[(pseudo::CONSUMER, "NO")])).contains("setup_consumers"));
    assert!(nowhere(variables(&MYSQL[..6])).contains("SELECT"));
    assert!(nowhere(with(MYSQL, &[("performance_schema", "OFF")])).contains("= ON"));
    let locked = Variables { tables_locked: true, ..variables(MYSQL) };
    assert!(nowhere(locked).contains("another connection"));

    assert!(nowhere(variables(MARIADB)).contains("INSTALL SONAME 'metadata_lock_info'"));
    let plugin = (pseudo::PLUGIN, "METADATA_LOCK_INFO");
    assert_eq!(with(MARIADB, &[plugin]).server().lock_listing, LockListing::Plugin);
    // The plugin does not list waiters.
    assert!(with(MARIADB, &[plugin]).waiter_listing().unwrap_err().contains("performance_schema"));
}
