//! Where MariaDB lists locks.

use diesel::QueryResult;
use diesel_async::SimpleAsyncConnection as _;

use super::{Admin, is_mysql, number};

/// The plugin that lists locks, if the server has it; it does not change until this value is dropped.
///
/// It belongs to the whole server, and MariaDB crashes if it is unloaded while it is read, so one test
/// at a time has it.
pub(crate) struct Listings {
    /// Whether held locks are listed.
    pub(crate) any: bool,
    _alone: Admin,
}

impl Listings {
    pub(crate) async fn load() -> Self {
        let mut admin = Admin::connect().await;
        let lock = number("GET_LOCK('diesel-locks-tests.listings', 600)", &mut admin.conn).await;
        assert_eq!(lock, Ok(1));
        if is_mysql().await {
            return Self { any: true, _alone: admin };
        }
        // Loaded already, or not to be had.
        let _: QueryResult<()> =
            admin.conn.batch_execute("INSTALL SONAME 'metadata_lock_info'").await;
        let loaded = "EXISTS (SELECT 1 FROM information_schema.PLUGINS \
             WHERE PLUGIN_NAME = 'METADATA_LOCK_INFO' AND PLUGIN_STATUS = 'ACTIVE')";
        let any = number(loaded, &mut admin.conn).await == Ok(1);
        Self { any, _alone: admin }
    }
}
