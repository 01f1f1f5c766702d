//! One call of each kind, on a server with an administrator's setting.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_types::Text;
use diesel_locks::{Error, Lock, Server, TableLock};

use crate::support::lasts_as_long_as;
use crate::support::private_server::PrivateServer;
use crate::support::schema::{audit_log, customers, places};
use crate::support::server::{self, Admin, connection_id, count_and_release_locks};
use crate::support::table_checks::{depth, log};

pub(super) const LOCK: Lock = Lock::new("lock");
const BUSY: Lock = Lock::new("busy");
/// Longer than the administrator allows a statement to take.
const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text, column_name = "Variable_name")]
    name: String,
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// Returns all variables of a session, except those that every statement changes.
fn settings(conn: &mut MysqlConnection) -> BTreeMap<String, String> {
    const VOLATILE: [&str; 9] = [
        "error_count",
        "identity",
        "in_transaction",
        "last_insert_id",
        "rand_seed1",
        "rand_seed2",
        "statement_id",
        "timestamp",
        "warning_count",
    ];
    let found: Vec<Variable> = diesel::sql_query("SHOW SESSION VARIABLES").load(conn).unwrap();
    // Without autocommit the query itself may have begun a transaction.
    conn.batch_execute("ROLLBACK").unwrap();
    let found = found.into_iter().map(|Variable { name, value }| (name, value));
    found.filter(|(name, _)| !VOLATILE.contains(&name.as_str())).collect()
}

#[track_caller]
fn assert_unchanged(setting: &str, conn: &mut MysqlConnection, found: &BTreeMap<String, String>) {
    let changed: Vec<_> =
        settings(conn).into_iter().filter(|(name, value)| found.get(name) != Some(value)).collect();
    assert_eq!(changed, [], "{setting}");
}

/// A separate server. Connections that are already open keep their settings.
pub(super) struct Scene {
    pub(super) server: PrivateServer,
    /// A connection of an administrator, which keeps its settings.
    pub(super) admin: Admin,
}

impl Scene {
    pub(super) fn new() -> Option<Self> {
        let server = PrivateServer::start()?;
        let mut admin = Admin(server.connect("shop"));
        admin.0.batch_execute("CREATE USER app@'%'; GRANT ALL ON shop.* TO app@'%'").unwrap();
        if !server::is_mysql() {
            // If the server does not have the plugin, held locks cannot be listed.
            let _ = admin.0.batch_execute("INSTALL SONAME 'metadata_lock_info'");
        }
        Some(Self { server, admin })
    }

    pub(super) fn rows(&mut self) -> i64 {
        audit_log::table.count().get_result(&mut self.admin.0).unwrap()
    }

    /// Runs one of each call as the user.
    pub(super) fn expect_all_calls_to_work(&mut self, setting: &str, user: &str, cuts_waits: bool) {
        let mut conn = self.server.connect_as(user);
        let found = settings(&mut conn);
        self.named_lock_calls(setting, &mut conn);
        assert_unchanged(setting, &mut conn, &found);
        let writes = self.transactions(setting, &mut conn);
        assert_unchanged(setting, &mut conn, &found);
        self.table_lock_calls(setting, &mut conn, writes);
        assert_unchanged(setting, &mut conn, &found);
        self.timeouts(setting, user, cuts_waits, writes);
        assert_eq!(count_and_release_locks(&mut conn), 0, "{setting}");
    }

    fn named_lock_calls(&mut self, setting: &str, conn: &mut MysqlConnection) {
        let id = connection_id(conn);
        for lock in [LOCK, LOCK.timeout(Duration::from_millis(9_500)), LOCK.shortened()] {
            let mut guard = lock.acquire(conn).unwrap_or_else(|e| panic!("{setting}: {e:?}"));
            assert_eq!(self.admin.holder("shop.lock"), Some(id), "{setting}");
            assert!(lock.is_held(&mut guard).unwrap(), "{setting}");
            assert!(guard.is_still_held().unwrap(), "{setting}");
            assert_eq!(lock.holding_connection_id(&mut guard).unwrap(), Some(id), "{setting}");
            let holder = lock.holder(&mut guard).unwrap().unwrap();
            assert_eq!(holder.process.id, id, "{setting}");
            match Lock::held_with_prefix("lo", &mut guard) {
                Ok(held) => assert_eq!(held, BTreeMap::from([("lock".to_owned(), id)])),
                Err(Error::Unsupported { .. }) => {}
                Err(error) => panic!("{setting}: {error:?}"),
            }
            match lock.waiters(&mut guard) {
                Ok(waiters) => assert_eq!(waiters, [], "{setting}"),
                Err(Error::Unsupported { .. }) => {}
                Err(error) => panic!("{setting}: {error:?}"),
            }
            guard.release().unwrap();
            assert_eq!(self.admin.holder("shop.lock"), None, "{setting}");
        }
        Server::inspect(conn).unwrap();
        LOCK.with(conn, |_| Ok::<_, Error>(())).unwrap();
        assert!(LOCK.try_with(conn, |_| Ok::<_, Error>(())).unwrap().is_some(), "{setting}");
        let unheld = LOCK.release(conn);
        assert!(matches!(unheld, Err(Error::NotHeld { .. })), "{setting}: {unheld:?}");
        let invalid = Lock::new(&"n".repeat(500)).acquire(conn).map(drop);
        assert!(matches!(invalid, Err(Error::InvalidName { .. })), "{setting}: {invalid:?}");
        LOCK.acquire(conn).unwrap().leak();
        LOCK.acquire(conn).unwrap().leak();
        assert_eq!(Lock::release_all(conn).unwrap(), 2, "{setting}");
        conn.batch_execute("ROLLBACK").unwrap();
    }

    /// Returns whether the connection may write at all.
    fn transactions(&mut self, setting: &str, conn: &mut MysqlConnection) -> bool {
        let before = self.rows();
        let writes = log(conn, "without a transaction").is_ok();
        conn.batch_execute("COMMIT").unwrap();
        let written = LOCK.transaction(conn, |conn| log(conn, "the library's"));
        assert_eq!(written.is_ok(), writes, "{setting}: {written:?}");
        assert_eq!(self.rows(), before + 2 * i64::from(writes), "{setting}");
        let rolled_back = LOCK.transaction(conn, |conn| {
            let _ = log(conn, "rolled back");
            Err::<(), _>(DieselError::NotFound)
        });
        assert_eq!(rolled_back, Err(DieselError::NotFound), "{setting}");
        assert_eq!(self.rows(), before + 2 * i64::from(writes), "{setting}");
        let read = LOCK.transaction(conn, |conn| places::table.count().get_result::<i64>(conn));
        assert_eq!(read, Ok(0), "{setting}");

        conn.batch_execute("START TRANSACTION").unwrap();
        let _ = places::table.count().get_result::<i64>(conn);
        let open = LOCK.transaction(conn, |_| Ok::<_, Error>(()));
        assert!(matches!(open, Err(Error::InTransaction { .. })), "{setting}: {open:?}");
        let open = TableLock::new().read::<places::table>().acquire(conn).map(drop);
        assert!(matches!(open, Err(Error::InTransaction { .. })), "{setting}: {open:?}");
        conn.batch_execute("ROLLBACK").unwrap();
        assert_eq!(depth(conn), Some(0), "{setting}");
        writes
    }

    fn table_lock_calls(&mut self, setting: &str, conn: &mut MysqlConnection, writes: bool) {
        let before = self.rows();
        let read = TableLock::new().read::<places::table>().read_as::<customers::table>("c");
        let rows = read.with(conn, |conn| places::table.count().get_result::<i64>(conn));
        assert_eq!(rows, Ok(0), "{setting}");
        let unknown = TableLock::new().read_table("unknown").acquire(conn).map(drop);
        assert!(matches!(unknown, Err(Error::Diesel(_))), "{setting}: {unknown:?}");
        match read.blockers(conn) {
            Ok(blockers) => assert_eq!(blockers, [], "{setting}"),
            Err(Error::Unsupported { .. }) => {}
            Err(error) => panic!("{setting}: {error:?}"),
        }
        conn.batch_execute("ROLLBACK").unwrap();

        let write = TableLock::new().write::<audit_log::table>().read::<places::table>();
        if !writes {
            let refused = write.with(conn, |conn| log(conn, "refused"));
            assert!(refused.is_err(), "{setting}");
            assert_eq!(self.rows(), before, "{setting}");
            return;
        }
        write.with(conn, |conn| log(conn, "committed")).unwrap();
        assert_eq!(self.rows(), before + 1, "{setting}");
        let mut guard = write.acquire(conn).unwrap();
        log(&mut guard, "rolled back").unwrap();
        guard.rollback().unwrap();
        assert_eq!(self.rows(), before + 1, "{setting}");
        let guard = write.timeout(Duration::from_secs(5)).acquire(conn).unwrap();
        guard.release().unwrap();
    }

    /// Checks how long the user waits for locks that another connection holds.
    fn timeouts(&mut self, setting: &str, user: &str, cuts_waits: bool, writes: bool) {
        let mut other = self.server.connect_as(user);
        let held = BUSY.acquire(&mut other).unwrap();
        let busy = BUSY.try_acquire(&mut self.server.connect_as(user)).unwrap().is_none();
        assert!(busy, "{setting}");
        let tables = TableLock::new().write::<places::table>();
        let mut locker = self.server.connect_as(user);
        let taken = writes.then(|| tables.acquire(&mut locker).unwrap());
        thread::scope(|threads| {
            for timeout in [Duration::from_millis(100), TIMEOUT] {
                let mut conn = self.server.connect_as(user);
                threads.spawn(move || {
                    let mut wait = || BUSY.timeout(timeout).acquire(&mut conn).map(drop);
                    if cuts_waits && timeout == TIMEOUT {
                        let ended = wait();
                        let expected = matches!(ended, Err(Error::Interrupted { .. }));
                        assert!(expected, "{setting}: {ended:?}");
                        return;
                    }
                    lasts_as_long_as(timeout, || {
                        let ended = wait();
                        let expected = matches!(ended, Err(Error::Timeout { .. }));
                        assert!(expected, "{setting}: {ended:?}");
                    });
                });
            }
            let mut conn = self.server.connect_as(user);
            let tables = tables.clone().timeout(TIMEOUT);
            threads.spawn(move || {
                if !writes {
                    return;
                }
                let found = settings(&mut conn);
                let ended = tables.acquire(&mut conn).map(drop);
                if cuts_waits {
                    assert!(
                        matches!(ended, Err(Error::Interrupted { .. })),
                        "{setting}: {ended:?}"
                    );
                } else {
                    assert!(matches!(ended, Err(Error::Timeout { .. })), "{setting}: {ended:?}");
                }
                assert_unchanged(setting, &mut conn, &found);
            });
        });
        if let Some(taken) = taken {
            taken.release().unwrap();
        }
        held.release().unwrap();
    }

    /// Runs the scene under an administrator's setting.
    pub(super) fn under(&mut self, setting: &str, back: &str, scene: impl FnOnce(&mut Self)) {
        self.admin.0.batch_execute(&format!("SET GLOBAL {setting}")).unwrap();
        scene(self);
        self.admin.0.batch_execute(&format!("SET GLOBAL {back}")).unwrap();
    }
}
