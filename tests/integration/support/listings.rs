//! Where the server lists locks: MariaDB's plugin, and the performance schema.

use std::sync::{Mutex, MutexGuard, PoisonError};

use diesel::connection::SimpleConnection;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable};

use super::server;

/// Where this server lists locks, which does not change until this value is dropped.
///
/// The plugin belongs to the whole server, so one test at a time decides whether it is loaded. A
/// test that may read the plugin's table must hold this value, because MariaDB crashes if the
/// plugin is unloaded at the same time.
pub(crate) struct Listings {
    pub(crate) plugin: bool,
    pub(crate) performance_schema: bool,
    before: bool,
    conn: MysqlConnection,
    _alone: MutexGuard<'static, ()>,
}

const PLUGIN_LOADED: &str = "EXISTS (SELECT 1 FROM information_schema.PLUGINS \
     WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE')";

impl Listings {
    /// Loads the plugin if the server has it.
    pub(crate) fn with_plugin() -> Self {
        Self::new(true)
    }

    pub(crate) fn without_plugin() -> Self {
        Self::new(false)
    }

    /// Runs the body without the plugin, and with it if the server has it.
    pub(crate) fn each(mut body: impl FnMut(&Self)) {
        let first = Self::without_plugin();
        body(&first);
        drop(first);
        let second = Self::with_plugin();
        if second.plugin {
            body(&second);
        }
    }

    fn new(wanted: bool) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut conn = server::connect();
        // Other processes may test on the same server.
        let lock = sql::<Nullable<Integer>>("GET_LOCK('diesel-locks-tests.listings', 600)");
        assert_eq!(diesel::select(lock).get_result(&mut conn), Ok(Some(1)));
        let before = loaded(&mut conn);
        if !server::is_mysql() && wanted != before {
            // The server may not have it.
            let _ = conn.batch_execute(if wanted { INSTALL } else { UNINSTALL });
        }
        let plugin = loaded(&mut conn);
        assert!(wanted || !plugin);
        let instrument = sql::<BigInt>(
            "COUNT(*) FROM performance_schema.setup_instruments \
             WHERE NAME = 'wait/lock/metadata/sql/mdl' AND ENABLED = 'YES'",
        );
        let instrument: i64 = diesel::select(instrument).get_result(&mut conn).unwrap();
        Self { plugin, performance_schema: instrument > 0, before, conn, _alone: alone }
    }

    pub(crate) fn any(&self) -> bool {
        self.plugin || self.performance_schema
    }
}

const INSTALL: &str = "INSTALL SONAME 'metadata_lock_info'";
const UNINSTALL: &str = "UNINSTALL SONAME 'metadata_lock_info'";

fn loaded(conn: &mut MysqlConnection) -> bool {
    diesel::select(sql::<Bool>(PLUGIN_LOADED)).get_result(conn).unwrap()
}

impl Drop for Listings {
    fn drop(&mut self) {
        if self.before != self.plugin {
            let _ = self.conn.batch_execute(if self.before { INSTALL } else { UNINSTALL });
        }
    }
}
